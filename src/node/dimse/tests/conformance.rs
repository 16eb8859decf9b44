//! The tables of `docs/conformance.md` are made of what the code says. After a change of it,
//! `PE_NODE_WRITE_CONFORMANCE=1 cargo test --lib conformance` writes them again.

use dicom_core::Tag;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_dictionary_std::StandardDataDictionary;
use dicom_transfer_syntax_registry::{TransferSyntaxIndex, TransferSyntaxRegistry};

use super::super::negotiation::UNCOMPRESSED;
use super::super::query::QueryLevel;
use super::super::service::{Root, SERVICES, STORAGE_CLASSES, Service};
use super::*;
use crate::dicom::transfer_syntax;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/conformance.md");

/// A table of Markdown.
fn table(heads: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let heads: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
    let rule = format!("|{}\n", "---|".repeat(heads.len()));
    line(&heads) + &rule + &rows.into_iter().map(|row| line(&row)).collect::<String>()
}

fn services() -> String {
    let name = |service: Service| match service {
        Service::Verification => "Verification".to_owned(),
        Service::Storage => "Storage, every class".to_owned(),
        Service::Find(root) => format!("{root:?} Root Query/Retrieve Information Model - FIND"),
        Service::Move(root) => format!("{root:?} Root Query/Retrieve Information Model - MOVE"),
        Service::Get(root) => format!("{root:?} Root Query/Retrieve Information Model - GET"),
        Service::Commitment => "Storage Commitment Push Model".to_owned(),
    };
    let role = |service: Service| match service {
        Service::Verification
        | Service::Storage
        | Service::Commitment
        | Service::Find(Root::Study)
        | Service::Move(Root::Study) => ("yes", "yes"),
        Service::Find(Root::Patient) | Service::Move(Root::Patient) | Service::Get(_) => ("no", "yes"),
    };
    let granted = |service: Service| {
        service.permission().map_or_else(|| "every peer".to_owned(), |permission| format!("peers with `{permission}`"))
    };
    let row = |uid: String, service: Service| {
        let (user, provider) = role(service);
        vec![name(service), uid, user.to_owned(), provider.to_owned(), granted(service)]
    };
    let mut rows: Vec<Vec<String>> = SERVICES.iter().map(|(uid, service)| row((*uid).to_owned(), *service)).collect();
    rows.insert(1, row(format!("{STORAGE_CLASSES}*"), Service::Storage));
    table(&["SOP class", "UID", "SCU", "SCP", "granted to"], rows)
}

fn transfer_syntaxes() -> String {
    let rows = transfer_syntax::ACCEPTED.iter().map(|uid| {
        let name = TransferSyntaxRegistry.get(uid).map_or("", |syntax| syntax.name());
        let messages = if UNCOMPRESSED.contains(uid) { "yes" } else { "no" };
        vec![name.to_owned(), (*uid).to_owned(), "yes".to_owned(), messages.to_owned()]
    });
    table(&["transfer syntax", "UID", "storage", "query, retrieval, commitment"], rows)
}

/// Attributes that the index computes, by the level at which they are returned.
const COMPUTED: [(QueryLevel, &[Tag]); 3] = [
    (
        QueryLevel::Patient,
        &[
            tags::NUMBER_OF_PATIENT_RELATED_STUDIES,
            tags::NUMBER_OF_PATIENT_RELATED_SERIES,
            tags::NUMBER_OF_PATIENT_RELATED_INSTANCES,
        ],
    ),
    (
        QueryLevel::Study,
        &[
            tags::MODALITIES_IN_STUDY,
            tags::SOP_CLASSES_IN_STUDY,
            tags::NUMBER_OF_STUDY_RELATED_SERIES,
            tags::NUMBER_OF_STUDY_RELATED_INSTANCES,
        ],
    ),
    (QueryLevel::Series, &[tags::NUMBER_OF_SERIES_RELATED_INSTANCES]),
];

fn keys() -> String {
    let kept =
        [QueryLevel::Study, QueryLevel::Series, QueryLevel::Image].map(|level| (level, level.of_index().attributes()));
    let row = |level: QueryLevel, tag: Tag| {
        let entry = StandardDataDictionary.by_tag(tag).expect("a standard attribute");
        let is_matched = level.of_index().matches(tag) && entry.vr().relaxed() != VR::SQ;
        let number = format!("({:04X},{:04X})", tag.group(), tag.element());
        let matched = if is_matched { "yes" } else { "no" };
        vec![level.name().to_owned(), entry.alias().to_owned(), number, matched.to_owned()]
    };
    let rows = COMPUTED
        .into_iter()
        .chain(kept)
        .flat_map(|(level, attributes)| attributes.iter().map(move |tag| row(level, *tag)));
    table(&["level", "attribute", "tag", "matched"], rows.filter(|row| row[1] != "TimezoneOffsetFromUTC"))
}

fn statuses() -> String {
    let rows = [
        (Status::SUCCESS, "all", "done; an object is durable"),
        (Status::PENDING, "C-FIND, C-MOVE, C-GET", "matches or sub-operations follow"),
        (Status::PENDING_UNSUPPORTED_KEYS, "C-FIND", "matches follow; a key with a value was not matched"),
        (Status::CANCELLED, "C-FIND, C-MOVE, C-GET", "ended by C-CANCEL"),
        (Status::SUB_OPERATIONS_FAILED, "C-MOVE, C-GET", "some sub-operations failed or ended with a warning"),
        (Status::OUT_OF_RESOURCES, "C-STORE, C-FIND, C-MOVE, C-GET", "no space, no memory, or the index failed"),
        (Status::NO_SUB_OPERATION, "C-MOVE, C-GET", "every sub-operation failed"),
        (Status::UNKNOWN_DESTINATION, "C-MOVE", "no setting says where the move destination listens"),
        (Status::DOES_NOT_MATCH, "C-STORE, C-FIND, C-MOVE, C-GET", "not what was announced; a key is missing"),
        (Status::CANNOT_UNDERSTAND, "C-STORE, C-FIND, C-MOVE, C-GET", "the data set cannot be read"),
        (Status::IDENTIFIER_TAKEN, "C-STORE", "another object has this SOP Instance UID"),
        (Status::NOT_AUTHORIZED, "C-STORE", "a rejection note of a peer that may not reject"),
        (Status::SOP_CLASS_NOT_SUPPORTED, "C-STORE", "the presentation context is not for storage"),
        (Status::UNRECOGNIZED_OPERATION, "all", "the presentation context is not for this operation"),
        (Status::NO_SUCH_ACTION, "N-ACTION", "another action than 1"),
        (Status::MISSING_ATTRIBUTE, "N-ACTION", "no transaction or no instances"),
        (Status::DUPLICATE_TRANSACTION, "N-ACTION", "the transaction is known with other instances"),
        (
            Status::PROCESSING_FAILURE,
            "N-ACTION; N-EVENT-REPORT as Failure Reason",
            "failed; the stored bytes are damaged",
        ),
        (Status::NO_SUCH_INSTANCE, "N-EVENT-REPORT as Failure Reason", "no such object"),
        (Status::CLASS_INSTANCE_CONFLICT, "N-EVENT-REPORT as Failure Reason", "the object is of another class"),
    ];
    let row = |(status, services, means): (Status, &str, &str)| vec![status.to_string(), services.into(), means.into()];
    table(&["status", "services", "means"], rows.map(row))
}

fn associations() -> String {
    let dicom = Config::from_defaults(&[]).expect("settings").dicom;
    let row = |item: &str, value: String| vec![item.to_owned(), value];
    table(
        &["item", "value"],
        [
            row("application context", uids::DICOM_APPLICATION_CONTEXT.to_owned()),
            row("Implementation Class UID", crate::dicom::implementation::CLASS_UID.to_owned()),
            row("Implementation Version Name", crate::dicom::implementation::VERSION_NAME.to_owned()),
            row("AE title by default", dicom.ae_title.to_string()),
            row("longest PDU by default", format!("{} bytes", dicom.maximum_pdu_bytes)),
            row("associations at the same time by default", dicom.maximum_associations.to_string()),
            row("silence until abort by default", format!("{} s", dicom.idle_timeout_seconds)),
        ],
    )
}

/// The page with a block written again.
fn with_block(page: &str, name: &str, content: &str) -> String {
    let (begin, end) = (format!("<!-- {name}: written by the code -->\n"), format!("<!-- end of {name} -->"));
    let (before, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("{PAGE} has no block {name}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("the block {name} of {PAGE} does not end"));
    format!("{before}{begin}\n{content}\n{end}{after}")
}

#[test]
fn the_tables_of_the_conformance_statement_are_those_of_the_code() {
    let page = std::fs::read_to_string(PAGE).expect("the page");
    let blocks = [
        ("services", services()),
        ("transfer syntaxes", transfer_syntaxes()),
        ("associations", associations()),
        ("statuses", statuses()),
        ("keys", keys()),
    ];
    let written = blocks.iter().fold(page.clone(), |page, (name, content)| with_block(&page, name, content));
    if std::env::var_os("PE_NODE_WRITE_CONFORMANCE").is_some() {
        std::fs::write(PAGE, &written).expect("written");
    } else {
        assert!(
            page == written,
            "{PAGE} is not what the code says; set PE_NODE_WRITE_CONFORMANCE=1 and run this again"
        );
    }
}
