//! Values on their way to PostgreSQL and back, in its binary forms.

use std::error::Error;

use bytes::{BufMut, BytesMut};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::store::Value;

type Failure = Box<dyn Error + Sync + Send>;

/// The type that a parameter is sent with; any for NULL, of which the statement takes no notice.
pub(super) fn type_of(value: &Value<'_>) -> Type {
    match value {
        Value::Null => Type::TEXT,
        Value::Integer(_) => Type::INT8,
        Value::Real(_) => Type::FLOAT8,
        Value::Text(_) => Type::TEXT,
        Value::Bytes(_) => Type::BYTEA,
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self, _: &Type, to: &mut BytesMut) -> Result<IsNull, Failure> {
        match self {
            Value::Null => return Ok(IsNull::Yes),
            Value::Integer(number) => to.put_i64(*number),
            Value::Real(number) => to.put_f64(*number),
            Value::Text(text) => {
                check_text(text)?;
                to.put_slice(text.as_bytes());
            }
            Value::Bytes(bytes) => to.put_slice(bytes),
        }
        Ok(IsNull::No)
    }

    /// Whatever type it was sent with is its own.
    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// # Errors
/// A text that PostgreSQL can't hold.
pub(super) fn check_text(text: &str) -> Result<(), String> {
    match text.contains('\0') {
        true => Err(format!(
            "PostgreSQL's text can't hold the character NUL, as in {text:?}"
        )),
        false => Ok(()),
    }
}

/// A value as it came.
struct Raw<'a> {
    of: Type,
    bytes: Option<&'a [u8]>,
}

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(of: &Type, bytes: &'a [u8]) -> Result<Raw<'a>, Failure> {
        Ok(Raw {
            of: of.clone(),
            bytes: Some(bytes),
        })
    }

    fn from_sql_null(of: &Type) -> Result<Raw<'a>, Failure> {
        Ok(Raw {
            of: of.clone(),
            bytes: None,
        })
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// What stands in a column, from 0.
pub(in crate::store) fn value_of(row: &Row, column: usize) -> anyhow::Result<Value<'_>> {
    let raw: Raw<'_> = row.try_get(column)?;
    let Some(bytes) = raw.bytes else {
        return Ok(Value::Null);
    };
    let value = match raw.of {
        Type::INT8 => fixed(bytes).map(|bytes| Value::Integer(i64::from_be_bytes(bytes))),
        Type::TEXT | Type::VARCHAR | Type::NAME | Type::BPCHAR | Type::UNKNOWN => {
            std::str::from_utf8(bytes).ok().map(Value::Text)
        }
        Type::FLOAT8 => fixed(bytes).map(|bytes| Value::Real(f64::from_be_bytes(bytes))),
        Type::BYTEA => Some(Value::Bytes(bytes)),
        Type::BOOL => fixed(bytes).map(|[is]: [u8; 1]| Value::Integer(is.into())),
        Type::INT4 => fixed(bytes).map(|bytes| Value::Integer(i32::from_be_bytes(bytes).into())),
        Type::INT2 => fixed(bytes).map(|bytes| Value::Integer(i16::from_be_bytes(bytes).into())),
        Type::FLOAT4 => fixed(bytes).map(|bytes| Value::Real(f32::from_be_bytes(bytes).into())),
        // Sums and means.
        Type::NUMERIC => numeric(bytes),
        _ => None,
    };
    value.ok_or_else(|| {
        let name = row.columns().get(column).map_or("", |column| column.name());
        anyhow::anyhow!(
            "read the column {name:?}: its type {} is none of a board",
            raw.of
        )
    })
}

fn fixed<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

/// Digits of base 10,000 with the weight of the first (numeric_send of PostgreSQL's numeric.c). A whole
/// number of 64 bits is one, anything else the nearest there is.
fn numeric(bytes: &[u8]) -> Option<Value<'static>> {
    let mut words = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let (_count, weight, sign, _scale) =
        (words.next()?, words.next()?, words.next()?, words.next()?);
    let weight = i32::from(weight as i16);
    let sign = match sign {
        0 => 1,
        0x4000 => -1,
        0xc000 => return Some(Value::Real(f64::NAN)),
        _ => return None,
    };
    let digits: Vec<u16> = words.collect();
    let is_whole = digits.len() as i32 <= weight + 1;
    let mut whole = Some(0_i64);
    let mut real = 0.0;
    for place in 0..digits.len().max(usize::try_from(weight + 1).unwrap_or(0)) {
        let digit = digits.get(place).copied().unwrap_or(0);
        whole = whole.and_then(|sum| {
            sum.checked_mul(10_000)?
                .checked_add(i64::from(digit) * sign)
        });
        real += f64::from(digit) * 10_000_f64.powi(weight - place as i32);
    }
    Some(match whole.filter(|_| is_whole) {
        Some(whole) => Value::Integer(whole),
        None => Value::Real(real * sign as f64),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_whole_numbers_and_means_are_not() {
        let check = |words: &[u16], value: Value<'_>| {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            assert_eq!(numeric(&bytes), Some(value));
        };
        check(&[0, 0, 0, 0], Value::Integer(0));
        check(&[2, 1, 0, 0, 12, 3456], Value::Integer(123_456));
        check(&[1, 2, 0x4000, 0, 7], Value::Integer(-700_000_000));
        check(&[2, 0, 0, 2, 2, 5000], Value::Real(2.5));
        check(&[1, 0xffff, 0, 2, 2500], Value::Real(0.25));
        check(
            &[5, 4, 0, 0, 922, 3372, 368, 5477, 5807],
            Value::Integer(i64::MAX),
        );
        check(&[1, 5, 0, 0, 1], Value::Real(1e20));
    }
}
