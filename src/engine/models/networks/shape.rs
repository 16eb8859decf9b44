//! Shapes of tensors: what was declared, given or expected.

use std::fmt;

use ndarray::{Array, ArrayD, Dimension, IntoDimension};

use crate::engine::models::session::SessionError;

/// Sizes of a tensor's axes; `None` where any size will do. Written `? x 3 x 128 x 128`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape(pub Vec<Option<usize>>);

impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (axis, size) in self.0.iter().enumerate() {
            formatter.write_str(if axis > 0 { " x " } else { "" })?;
            match size {
                Some(size) => write!(formatter, "{size}")?,
                None => formatter.write_str("?")?,
            }
        }
        Ok(())
    }
}

/// The array with as many axes as `expected` has, where `None` stands for any size.
pub(super) fn shaped<const RANK: usize, D>(
    values: ArrayD<f32>,
    name: &str,
    expected: &[Option<usize>; RANK],
) -> Result<Array<f32, D>, SessionError>
where
    D: Dimension,
    [usize; RANK]: IntoDimension<Dim = D>,
{
    let found = values.shape().to_vec();
    let wrong = || {
        let (found, wanted) = (Shape(found.iter().copied().map(Some).collect()), Shape(expected.to_vec()));
        SessionError::Run(format!("output `{name}` has the shape {found}, {wanted} was expected"))
    };
    let fits = found.iter().zip(expected).all(|(size, wanted)| wanted.is_none_or(|wanted| wanted == *size));
    if found.len() != RANK || !fits {
        return Err(wrong());
    }
    values.into_dimensionality::<D>().map_err(|_| wrong())
}
