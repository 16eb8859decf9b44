//! What the service offers, as a description that programs read: the answer to OPTIONS at its root
//! ([PS3.18 8.9](https://dicom.nema.org/medical/dicom/current/output/chtml/part18/sect_8.9.html)). A test compares it with
//! the routes.

use std::fmt::Write;

use axum::http::header;
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::json;

use super::media::covers;
use super::notation;
use super::request::Request;
use crate::node::http::{HttpResult, Problem};

/// The media type of a description in WADL, the default.
const WADL: &str = "application/vnd.sun.wadl+xml";
/// The other one.
const JSON: &str = "application/json";

/// Something that has an address below the root of the service.
#[derive(Debug, Serialize)]
pub(super) struct Resource {
    /// Its address; what stands in braces is a UID, or numbers of frames.
    pub(super) path: &'static str,
    /// What can be done with it.
    pub(super) methods: &'static [Transaction],
}

/// A transaction of the standard.
#[derive(Debug, Serialize)]
pub(super) struct Transaction {
    /// The HTTP method.
    pub(super) name: &'static str,
    /// What it does, in the standard's words.
    transaction: &'static str,
    /// Media types of the answer.
    #[serde(rename = "mediaTypes")]
    media_types: &'static [&'static str],
    /// Parameters of the URL, attributes aside.
    parameters: &'static [&'static str],
}

const fn get(
    transaction: &'static str,
    media_types: &'static [&'static str],
    parameters: &'static [&'static str],
) -> Transaction {
    Transaction { name: "GET", transaction, media_types, parameters }
}

const fn search(transaction: &'static str) -> Transaction {
    get(transaction, &notation::OFFERED, &["limit", "offset", "includefield", "fuzzymatching", "accept"])
}

const fn objects(transaction: &'static str) -> Transaction {
    get(transaction, &["application/dicom"], &["accept"])
}

const fn metadata(transaction: &'static str) -> Transaction {
    get(transaction, &notation::OFFERED, &["accept"])
}

const fn rendered(transaction: &'static str) -> Transaction {
    get(transaction, &["image/jpeg", "image/png"], &["window", "viewport", "quality", "accept"])
}

const fn bulk_data(transaction: &'static str) -> Transaction {
    get(transaction, &["application/octet-stream"], &["accept"])
}

const STORE: Transaction = Transaction {
    name: "POST",
    transaction: "Store Instances",
    media_types: &["application/dicom+json"],
    parameters: &[],
};

/// Media types of frames.
const FRAMES: &[&str] = &["application/octet-stream", "image/jpeg", "image/jls", "image/jp2", "image/jphc"];
/// Media types of WADO-URI.
const URI: &[&str] = &["image/jpeg", "image/png", "application/dicom"];

/// Everything that the service offers.
pub(super) const RESOURCES: &[Resource] = &[
    Resource { path: "studies", methods: &[search("Search for Studies"), STORE] },
    Resource { path: "series", methods: &[search("Search for Series")] },
    Resource { path: "instances", methods: &[search("Search for Instances")] },
    Resource { path: "studies/{study}/series", methods: &[search("Search for Series of a Study")] },
    Resource { path: "studies/{study}/instances", methods: &[search("Search for Instances of a Study")] },
    Resource {
        path: "studies/{study}/series/{series}/instances",
        methods: &[search("Search for Instances of a Series")],
    },
    Resource { path: "studies/{study}", methods: &[objects("Retrieve Study"), STORE] },
    Resource { path: "studies/{study}/metadata", methods: &[metadata("Retrieve Study Metadata")] },
    Resource { path: "studies/{study}/rendered", methods: &[rendered("Retrieve Rendered Study")] },
    Resource { path: "studies/{study}/thumbnail", methods: &[rendered("Retrieve Study Thumbnail")] },
    Resource { path: "studies/{study}/bulkdata", methods: &[bulk_data("Retrieve Study Bulk Data")] },
    Resource { path: "studies/{study}/pixeldata", methods: &[bulk_data("Retrieve Study Pixel Data")] },
    Resource { path: "studies/{study}/series/{series}", methods: &[objects("Retrieve Series")] },
    Resource { path: "studies/{study}/series/{series}/metadata", methods: &[metadata("Retrieve Series Metadata")] },
    Resource { path: "studies/{study}/series/{series}/rendered", methods: &[rendered("Retrieve Rendered Series")] },
    Resource { path: "studies/{study}/series/{series}/thumbnail", methods: &[rendered("Retrieve Series Thumbnail")] },
    Resource { path: "studies/{study}/series/{series}/bulkdata", methods: &[bulk_data("Retrieve Series Bulk Data")] },
    Resource { path: "studies/{study}/series/{series}/pixeldata", methods: &[bulk_data("Retrieve Series Pixel Data")] },
    Resource { path: "studies/{study}/series/{series}/instances/{instance}", methods: &[objects("Retrieve Instance")] },
    Resource {
        path: "studies/{study}/series/{series}/instances/{instance}/metadata",
        methods: &[metadata("Retrieve Instance Metadata")],
    },
    Resource {
        path: "studies/{study}/series/{series}/instances/{instance}/rendered",
        methods: &[rendered("Retrieve Rendered Instance")],
    },
    Resource {
        path: "studies/{study}/series/{series}/instances/{instance}/thumbnail",
        methods: &[rendered("Retrieve Instance Thumbnail")],
    },
    Resource {
        path: "studies/{study}/series/{series}/instances/{instance}/bulkdata",
        methods: &[bulk_data("Retrieve Instance Bulk Data")],
    },
    Resource {
        path: "studies/{study}/series/{series}/instances/{instance}/pixeldata",
        methods: &[bulk_data("Retrieve Instance Pixel Data")],
    },
    Resource {
        path: "studies/{study}/series/{series}/instances/{instance}/bulkdata/{path}",
        methods: &[bulk_data("Retrieve Bulk Data")],
    },
    Resource {
        path: "studies/{study}/series/{series}/instances/{instance}/frames/{list}",
        methods: &[get("Retrieve Frames", FRAMES, &["accept"])],
    },
    Resource {
        path: "studies/{study}/series/{series}/instances/{instance}/frames/{list}/rendered",
        methods: &[rendered("Retrieve Rendered Frames")],
    },
    Resource {
        path: "studies/{study}/series/{series}/instances/{instance}/frames/{list}/thumbnail",
        methods: &[rendered("Retrieve Frame Thumbnail")],
    },
    Resource {
        path: "wado",
        methods: &[get("WADO-URI", URI, &["requestType", "studyUID", "seriesUID", "objectUID", "contentType"])],
    },
];

/// Answers with the description, in WADL unless JSON is asked for.
pub(super) async fn retrieve(request: Request) -> HttpResult {
    let offered = |payload: &str| {
        [WADL, "application/xml", JSON, "application/dicom+json"].into_iter().find(|offer| covers(payload, offer))
    };
    let Some(chosen) = request.accept().first(|wanted| offered(&wanted.payload())) else {
        return Err(Problem::NotAcceptable(format!("capabilities are given as {WADL} and {JSON}")));
    };
    let (media_type, body) = match chosen {
        WADL | "application/xml" => (WADL, wadl(&request.base)),
        _ => (JSON, json!({ "base": request.base, "resources": RESOURCES }).to_string()),
    };
    Ok(([(header::CONTENT_TYPE, media_type), (header::ALLOW, "OPTIONS")], body).into_response())
}

/// The description as a Web Application Description (<https://www.w3.org/submissions/wadl/>).
fn wadl(base: &str) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    text.push_str("<application xmlns=\"http://wadl.dev.java.net/2009/02\">\n");
    // Nothing of this needs escaping: the address of a request holds no markup.
    let _ = writeln!(text, "<doc title=\"pe-node {}\"/>\n<resources base=\"{base}/\">", env!("CARGO_PKG_VERSION"));
    for Resource { path, methods } in RESOURCES {
        let _ = writeln!(text, "<resource path=\"{path}\">");
        for method in *methods {
            let _ = writeln!(text, "<method name=\"{}\"><doc title=\"{}\"/>", method.name, method.transaction);
            text.push_str("<request>");
            for parameter in method.parameters {
                let _ = write!(text, "<param name=\"{parameter}\" style=\"query\"/>");
            }
            text.push_str("</request>\n<response>");
            for media_type in method.media_types {
                let _ = write!(text, "<representation mediaType=\"{media_type}\"/>");
            }
            text.push_str("</response></method>\n");
        }
        text.push_str("</resource>\n");
    }
    text.push_str("</resources>\n</application>\n");
    text
}
