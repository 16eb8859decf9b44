//! How attributes are written in answers: as DICOM JSON, or as XML in parts of `multipart/related`
//! ([PS3.18 8.7.3](https://dicom.nema.org/medical/dicom/current/output/chtml/part18/sect_8.7.3.html)).

use std::io::{self, Write};

use serde_json::{Map, Value};

use super::body::Multipart;
use super::media::{Accept, covers};
use super::xml;
use crate::node::http::Problem;

/// The media type of DICOM JSON.
const DICOM_JSON: &str = "application/dicom+json";
/// The media type of the Native DICOM Model as XML.
const DICOM_XML: &str = "application/dicom+xml";

/// The media types of an answer.
pub(super) const OFFERED: [&str; 3] = [DICOM_JSON, "application/json", DICOM_XML];

/// How attributes are written in an answer.
pub(super) enum Notation {
    /// One array of JSON objects.
    Json,
    /// One XML document a part.
    Xml(Multipart),
}

/// An object as DICOM JSON, and where it is retrieved from.
pub(super) type Described = (Map<String, Value>, String);

impl Notation {
    /// The one that the client wants most; JSON where it does not care.
    pub(super) fn of(accept: &Accept) -> Result<Self, Problem> {
        let xml = accept.first(|wanted| {
            let payload = wanted.payload();
            OFFERED.iter().find(|offered| covers(&payload, offered)).map(|offered| *offered == DICOM_XML)
        });
        match xml {
            Some(true) => Ok(Self::Xml(Multipart::new(DICOM_XML))),
            Some(false) => Ok(Self::Json),
            None => {
                let offered = format!("{DICOM_JSON} and multipart/related; type=\"{DICOM_XML}\"");
                Err(Problem::NotAcceptable(format!("attributes are given as {offered}")))
            }
        }
    }

    /// The media type of one data set.
    pub(super) fn media_type(&self) -> &'static str {
        match self {
            Self::Json => DICOM_JSON,
            Self::Xml(_) => DICOM_XML,
        }
    }

    /// The Content-Type of the answer.
    pub(super) fn content_type(&self) -> String {
        match self {
            Self::Json => DICOM_JSON.to_owned(),
            Self::Xml(multipart) => multipart.content_type(),
        }
    }

    /// Writes objects as they come.
    pub(super) fn write_all(
        &self,
        sink: &mut impl Write,
        objects: impl IntoIterator<Item = Described>,
    ) -> io::Result<()> {
        self.try_write_all(sink, objects.into_iter().map(Ok))
    }

    /// Writes objects as they come, until one cannot be described.
    pub(super) fn try_write_all(
        &self,
        sink: &mut impl Write,
        objects: impl IntoIterator<Item = io::Result<Described>>,
    ) -> io::Result<()> {
        match self {
            Self::Json => {
                let mut before: &[u8] = b"[";
                for object in objects {
                    sink.write_all(before)?;
                    serde_json::to_writer(&mut *sink, &object?.0)?;
                    before = b",";
                }
                sink.write_all(if before == b"[" { b"[]" } else { b"]" })
            }
            Self::Xml(multipart) => {
                for object in objects {
                    let (object, url) = object?;
                    multipart.begin_part(sink, "", &url)?;
                    xml::write(sink, &object)?;
                }
                multipart.end(sink)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(accept: Option<&str>) -> Option<bool> {
        Notation::of(&Accept::parse(accept, None)).ok().map(|notation| matches!(notation, Notation::Xml(_)))
    }

    #[test]
    fn json_is_the_default_and_xml_comes_where_it_is_asked_for() {
        for (accept, xml) in [
            (None, Some(false)),
            (Some("*/*"), Some(false)),
            (Some("application/json"), Some(false)),
            (Some("multipart/related; type=\"application/dicom+xml\""), Some(true)),
            (Some("application/dicom+xml"), Some(true)),
            (Some("application/dicom+xml;q=0.5, application/dicom+json"), Some(false)),
            (Some("text/html"), None),
        ] {
            assert_eq!(chosen(accept), xml, "{accept:?}");
        }
    }

    #[test]
    fn no_objects_are_an_empty_array() {
        let mut body = Vec::new();
        Notation::Json.write_all(&mut body, []).expect("write");
        assert_eq!(body, b"[]");
    }
}
