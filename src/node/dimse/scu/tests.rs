//! Against a peer of which each test says how it answers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BufMut;
use dicom_dictionary_std::uids;
use dicom_ul::Pdu;
use dicom_ul::pdu::{AssociationRQ, PDataValue, PDataValueType, read_pdu};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::super::command::{Command, Role};
use super::super::connection::Connection;
use super::super::message::Assembler;
use super::super::requesting::first_pdu;
use super::super::status::Status;
use super::*;
use crate::config::Config;
use crate::dicom::{AeTitle, Uid};
use crate::node::memory::Budget;

const TIMEOUT: Duration = Duration::from_secs(5);
const REPORT: &str = uids::COMPREHENSIVE3_DSR_STORAGE;
const PICTURE: &str = uids::SECONDARY_CAPTURE_IMAGE_STORAGE;

fn title(text: &str) -> AeTitle {
    AeTitle::parse(text).expect("title")
}

/// How a peer answers a proposed context.
#[derive(Clone, Copy)]
enum Context {
    Accepted,
    /// Rejected by an item that ends after the result, as some acceptors write it.
    RejectedBriefly,
}

/// The acceptance of a request, written by hand: dicom-ul writes no odd items.
fn acceptance(request: &AssociationRQ, decide: impl Fn(&str) -> Context) -> Vec<u8> {
    let mut items = Vec::new();
    let item = |items: &mut Vec<u8>, item_type: u8, content: &[u8]| {
        items.put_slice(&[item_type, 0]);
        items.put_u16(content.len() as u16);
        items.put_slice(content);
    };
    item(&mut items, 0x10, b"1.2.840.10008.3.1.1.1");
    for context in &request.presentation_contexts {
        let syntax = context.transfer_syntaxes[0].as_bytes();
        let content = match decide(&context.abstract_syntax) {
            Context::Accepted => [&[context.id, 0, 0, 0, 0x40, 0, 0, syntax.len() as u8], syntax].concat(),
            Context::RejectedBriefly => vec![context.id, 0, 3, 0],
        };
        item(&mut items, 0x21, &content);
    }
    item(&mut items, 0x50, &[0x51, 0, 0, 4, 0, 0, 0x40, 0]);
    let mut pdu = vec![2, 0];
    pdu.put_u32(68 + items.len() as u32);
    pdu.put_slice(&[0, 1, 0, 0]);
    pdu.put_slice(&[b' '; 32]);
    pdu.put_slice(&[0; 32]);
    pdu.extend(items);
    pdu
}

/// A peer on a free port that accepts one association after the other and answers each C-STORE with success, and what it
/// was sent.
async fn peer(decide: impl Fn(&str) -> Context + Send + Sync + 'static) -> (Peer, Arc<Mutex<Vec<Uid>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address").to_string();
    let stored = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&stored);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            serve(stream, &decide, &heard).await;
        }
    });
    (Peer { address, called: title("PEER"), calling: title("PE-NODE"), timeout: TIMEOUT, originator: None }, stored)
}

async fn serve(mut stream: TcpStream, decide: &impl Fn(&str) -> Context, heard: &Mutex<Vec<Uid>>) {
    let request = first_pdu(&mut stream).await.expect("a request");
    let Ok(Some(Pdu::AssociationRQ(request))) = read_pdu(&request[..], 1 << 20, true) else { panic!("a request") };
    stream.write_all(&acceptance(&request, decide)).await.expect("answered");
    let mut connection = Connection::new(stream, 1 << 20, TIMEOUT);
    let mut assembler = Assembler::new(Budget::new(1 << 20));
    loop {
        match connection.receive().await.expect("a PDU") {
            Pdu::PData { data } => {
                for value in data {
                    let Some(message) = assembler.push(value).expect("a message") else { continue };
                    let Role::Request { message_id } = message.command.role else { panic!("a request") };
                    heard.lock().expect("unpoisoned").extend(message.command.affected_sop_instance_uid.clone());
                    answer(&mut connection, message.context_id, &message.command, message_id).await;
                }
            }
            Pdu::ReleaseRQ => return connection.send(&Pdu::ReleaseRP).await.expect("released"),
            other => panic!("{other:?}"),
        }
    }
}

async fn answer(connection: &mut Connection, context_id: u8, command: &Command, message_id: u16) {
    let data = command.answer(message_id, Status::SUCCESS, "").encode();
    let value =
        PDataValue { presentation_context_id: context_id, value_type: PDataValueType::Command, is_last: true, data };
    connection.send(&Pdu::PData { data: vec![value] }).await.expect("answered");
}

/// An object of nothing but its class: enough for a peer that reads commands alone.
fn object(class: &str, instance: &str) -> Outgoing {
    let [sop_class_uid, sop_instance_uid] = [class, instance].map(|text| Uid::parse(text).expect("uid"));
    let meta = dicom_object::FileMetaTableBuilder::new()
        .media_storage_sop_class_uid(class)
        .media_storage_sop_instance_uid(instance)
        .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let mut bytes = Vec::new();
    let data_set = dicom_object::InMemDicomObject::from_element_iter([dicom_core::DataElement::new(
        dicom_dictionary_std::tags::SOP_INSTANCE_UID,
        dicom_core::VR::UI,
        instance,
    )]);
    data_set.with_meta(meta).expect("meta").write_all(&mut bytes).expect("written");
    let transfer_syntax_uid = uids::EXPLICIT_VR_LITTLE_ENDIAN.to_owned();
    Outgoing { source: Source::Memory(bytes.into()), sop_class_uid, sop_instance_uid, transfer_syntax_uid }
}

async fn send(peer: &Peer, objects: &[Outgoing]) -> Vec<SendOutcome> {
    let limits = Config::from_defaults(&[]).expect("settings").limits;
    store(peer, objects, &limits, |_, _| {}).await
}

#[tokio::test]
async fn a_context_that_is_rejected_without_transfer_syntax_costs_its_objects_alone() {
    let reports_refused = |class: &str| if class == REPORT { Context::RejectedBriefly } else { Context::Accepted };
    let (peer, stored) = peer(reports_refused).await;
    let outcomes = send(&peer, &[object(REPORT, "1.2.1"), object(PICTURE, "1.2.2")]).await;
    let SendOutcome::ClassRefused(reason) = &outcomes[0] else { panic!("{outcomes:?}") };
    assert!(reason.contains("abstract syntax not supported") && reason.contains(REPORT), "{reason}");
    assert_eq!(outcomes[1], SendOutcome::Stored(Status::SUCCESS));
    assert_eq!(*stored.lock().expect("unpoisoned"), [Uid::parse("1.2.2").expect("uid")]);
}

#[tokio::test]
async fn a_peer_that_accepts_no_context_refuses_each_object_and_is_no_outage() {
    let (peer, stored) = peer(|_| Context::RejectedBriefly).await;
    let outcomes = send(&peer, &[object(REPORT, "1.2.1"), object(PICTURE, "1.2.2")]).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, SendOutcome::ClassRefused(_))), "{outcomes:?}");
    assert!(stored.lock().expect("unpoisoned").is_empty());
    let refused = echo(&peer).await.expect_err("not offered").to_string();
    assert!(refused.contains("abstract syntax not supported"), "{refused}");
}
