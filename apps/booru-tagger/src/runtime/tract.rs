//! tract: pure Rust, on the processor, always there. A plan is made for the shape that is asked, and
//! kept for the next input of that shape.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use tract_onnx::prelude::{
    DatumType, Framework, InferenceFact, InferenceModel, InferenceModelExt, TypedModel,
    TypedRunnableModel, tvec,
};
use tract_onnx::tract_hir::infer::Factoid;
use tract_onnx::tract_hir::internal::DimLike;

use super::{Model, Tensor};

pub(super) struct Loaded {
    model: InferenceModel,
    shape: Vec<Option<usize>>,
    plan: Option<(Vec<usize>, TypedRunnableModel<TypedModel>)>,
}

impl Loaded {
    pub(super) fn load(path: &Path) -> Result<Loaded> {
        let model = guarded(|| tract_onnx::onnx().model_for_path(path))?;
        let inputs = model.input_outlets()?;
        let count = inputs.len();
        ensure!(
            count == 1,
            "it has {count} inputs, one image is what is given"
        );
        let fact = model.input_fact(0)?;
        let dims = fact.shape.dims();
        let shape = dims
            .map(|dim| dim.concretize().and_then(|dim| dim.to_usize().ok()))
            .collect();
        Ok(Loaded {
            model,
            shape,
            plan: None,
        })
    }

    fn plan(&self, shape: &[usize]) -> Result<TypedRunnableModel<TypedModel>> {
        let fact = InferenceFact::dt_shape(DatumType::F32, shape);
        let model = self.model.clone();
        guarded(|| {
            model
                .with_input_fact(0, fact)?
                .into_optimized()?
                .into_runnable()
        })
        .with_context(|| format!("plan it for an input of {shape:?}"))
    }
}

impl Model for Loaded {
    fn input_shape(&self) -> &[Option<usize>] {
        &self.shape
    }

    fn run(&mut self, input: Tensor) -> Result<Vec<Tensor>> {
        let is_planned = |plan: &Option<(Vec<usize>, _)>| {
            plan.as_ref()
                .is_some_and(|(shape, _)| *shape == input.shape)
        };
        if !is_planned(&self.plan) {
            // The old plan's copy of the weights goes first.
            self.plan = None;
            self.plan = Some((input.shape.clone(), self.plan(&input.shape)?));
        }
        let Some((_, plan)) = &self.plan else {
            bail!("there is no plan");
        };
        let value = tract_onnx::prelude::Tensor::from_shape(&input.shape, &input.data)?;
        drop(input);
        let outputs = guarded(|| plan.run(tvec!(value.into())))?;
        let mut found = Vec::with_capacity(outputs.len());
        for (index, output) in outputs.iter().enumerate() {
            let view = output.to_array_view::<f32>();
            let view = view.with_context(|| format!("its output {index} is not of f32"))?;
            found.push(Tensor {
                shape: view.shape().to_vec(),
                data: view.iter().copied().collect(),
            });
        }
        Ok(found)
    }
}

/// Damaged models reach assertions inside tract: a panic is an error of this model.
fn guarded<T>(act: impl FnOnce() -> Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(outcome) => outcome,
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied());
            Err(anyhow!(
                "tract gave up: {}",
                text.unwrap_or("without a reason")
            ))
        }
    }
}
