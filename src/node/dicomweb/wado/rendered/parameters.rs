//! How a picture is wanted
//! ([PS3.18 8.3.5](https://dicom.nema.org/medical/dicom/current/output/chtml/part18/sect_8.3.5.html)).

use dicom_pixeldata::{VoiLutFunction, WindowLevel};

use super::super::super::media::{Accept, covers};
use super::super::super::request::Request;
use super::region::Region;
use crate::node::http::Problem;

/// The media types of pictures. A client that accepts both gets the first, the default of rendered resources (8.7.4).
const OFFERED: [&str; 2] = [JPEG, PNG];
pub(in super::super) const PNG: &str = "image/png";
pub(in super::super) const JPEG: &str = "image/jpeg";
/// Quality of JPEG pictures where the client names none, of 100.
const QUALITY: u8 = 90;
/// Longer side in pixels of the largest picture that a client may ask for.
pub(in super::super) const LARGEST: u32 = 4096;

/// Values, and how they become grey.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) struct Window {
    pub(in super::super) level: WindowLevel,
    pub(in super::super) function: VoiLutFunction,
}

/// How a picture is wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) struct Parameters {
    /// `None`: what the object itself says.
    pub(in super::super) window: Option<Window>,
    /// What of the image; `None` for all of it.
    pub(in super::super) region: Option<Region>,
    /// Width and height that the picture fits into; `None` for the size of the image.
    pub(in super::super) bounds: Option<(u32, u32)>,
    pub(in super::super) media_type: &'static str,
    /// Of JPEG, from 1 to 100.
    pub(in super::super) quality: u8,
}

impl Parameters {
    /// What the parameters of a URL say.
    pub(super) fn of(request: &Request, media_type: &'static str) -> Result<Self, Problem> {
        let viewport = request.parameter("viewport").map(viewport).transpose()?;
        Ok(Self {
            window: request.parameter("window").map(window).transpose()?,
            region: viewport.and_then(|(_, region)| region),
            bounds: viewport.map(|(bounds, _)| bounds),
            media_type,
            quality: request.parameter("quality").map_or(Ok(QUALITY), |text| quality("quality", text))?,
        })
    }

    /// All of the image, as it describes itself.
    pub(in super::super) fn plain(media_type: &'static str) -> Self {
        Self { window: None, region: None, bounds: None, media_type, quality: QUALITY }
    }
}

/// The form of a picture that a client accepts: its media type, and whether it is asked for in `multipart/related`; `None`
/// for a range of types, which leaves that open.
pub(super) fn accepted(accept: &Accept) -> Result<(&'static str, Option<bool>), Problem> {
    accept
        .first(|wanted| {
            let media_type = OFFERED.into_iter().find(|offered| covers(&wanted.payload(), offered))?;
            Some((media_type, (!wanted.essence.ends_with("/*")).then_some(wanted.is_multipart())))
        })
        .ok_or_else(|| Problem::NotAcceptable(format!("pictures are given as {JPEG} or {PNG}")))
}

/// A number from 1 to 100 (8.3.5.1.2), for JPEG.
pub(in super::super) fn quality(name: &str, text: &str) -> Result<u8, Problem> {
    let quality = text.trim().parse().ok().filter(|quality| (1..=100).contains(quality));
    quality.ok_or_else(|| Problem::BadRequest(format!("{name}: a number from 1 to 100 was expected")))
}

/// `window=centre,width,function` (8.3.5.1.4).
fn window(text: &str) -> Result<Window, Problem> {
    let expected = || {
        let functions = "linear, linear-exact or sigmoid";
        Problem::BadRequest(format!("window: centre,width,function was expected, the function {functions}"))
    };
    let mut parts = text.split(',').map(str::trim);
    let mut number = || parts.next().and_then(|part| part.parse::<f64>().ok());
    let (center, width) = number().zip(number()).ok_or_else(expected)?;
    let function = match parts.next().map(str::to_ascii_lowercase).as_deref() {
        None | Some("linear") => VoiLutFunction::Linear,
        Some("linear-exact") => VoiLutFunction::LinearExact,
        Some("sigmoid") => VoiLutFunction::Sigmoid,
        Some(_) => return Err(expected()),
    };
    if parts.next().is_some() {
        return Err(expected());
    }
    checked_window(center, width, function)
}

/// A window whose width its function allows
/// ([PS3.3 C.11.2.1.2](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.11.2.html)).
pub(in super::super) fn checked_window(center: f64, width: f64, function: VoiLutFunction) -> Result<Window, Problem> {
    let wide = if function == VoiLutFunction::Linear { width >= 1.0 } else { width > 0.0 };
    if !(wide && width.is_finite() && center.is_finite()) {
        return Err(Problem::BadRequest(
            "window: the width must be 1 or more, or more than 0 unless linear".to_owned(),
        ));
    }
    Ok(Window { level: WindowLevel { center, width }, function })
}

/// `viewport=width,height` (8.3.5.1.3): the picture fits inside. `viewport=width,height,x,y,width,height` shows a region of
/// the image, which a negative width or height flips; what is left empty is the image's own.
fn viewport(text: &str) -> Result<((u32, u32), Option<Region>), Problem> {
    let expected = || {
        Problem::BadRequest(format!(
            "viewport: width,height or width,height,x,y,width,height was expected, the first two from 1 to {LARGEST}"
        ))
    };
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let side = |text: &str| text.parse::<u32>().ok().filter(|side| (1..=LARGEST).contains(side));
    let optional = |text: &str| match text {
        "" => Some(None),
        text => text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Some),
    };
    let read = || match parts[..] {
        [width, height] => Some(((side(width)?, side(height)?), None)),
        [width, height, left, top, across, down] => {
            let region = Region::Pixels {
                left: optional(left)?.unwrap_or(0.0),
                top: optional(top)?.unwrap_or(0.0),
                width: optional(across)?,
                height: optional(down)?,
            };
            Some(((side(width)?, side(height)?), Some(region)))
        }
        _ => None,
    };
    read().ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_have_one_of_three_functions() {
        for (text, function) in [
            ("40,400", VoiLutFunction::Linear),
            ("40,400,linear", VoiLutFunction::Linear),
            ("40,0.5,linear-exact", VoiLutFunction::LinearExact),
            ("40,400,SIGMOID", VoiLutFunction::Sigmoid),
        ] {
            assert_eq!(window(text).expect("valid").function, function, "{text}");
        }
        for wrong in ["40", "40,0", "40,0.5,linear", "40,400,cubic", "40,NaN", "40,0,sigmoid", "40,400,linear,1"] {
            assert!(window(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn viewports_have_a_size_and_perhaps_a_region() {
        assert_eq!(viewport("100,200"), Ok(((100, 200), None)));
        let region = Region::Pixels { left: 0.0, top: 2.0, width: Some(-4.0), height: None };
        assert_eq!(viewport("100,200,,2,-4,"), Ok(((100, 200), Some(region))));
        for wrong in ["100", "0,5", "9999999,5", "1,2,3,4", "1,2,x,0,1,1", "1,2,3,4,5,6,7"] {
            assert!(viewport(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn quality_is_a_percentage() {
        assert_eq!(quality("quality", "75"), Ok(75));
        for wrong in ["0", "101", "best"] {
            assert!(quality("quality", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_picture_is_jpeg_unless_something_else_is_asked_for() {
        let form = |accept| accepted(&Accept::parse(Some(accept), None));
        assert_eq!(form("*/*"), Ok((JPEG, None)));
        assert_eq!(form("image/*"), Ok((JPEG, None)));
        assert_eq!(form("image/png, */*;q=0.1"), Ok((PNG, Some(false))));
        assert_eq!(form("multipart/related; type=\"image/png\""), Ok((PNG, Some(true))));
        assert!(form("image/gif").is_err());
    }
}
