//! `plimsoll facilities`: what this kernel lets us read, each tried on ourselves.

use std::process::ExitCode;

use plimsoll_probe::Facilities;

use crate::output;

pub(crate) fn facilities() -> anyhow::Result<ExitCode> {
    let found = Facilities::try_all();
    output::to_stdout(|w| {
        for (name, facility) in found.list() {
            match facility {
                Ok(()) => writeln!(w, "works    {name}")?,
                Err(gap) => writeln!(w, "missing  {name}: {} ({})", gap.reason.name(), gap.detail)?,
            }
        }
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}
