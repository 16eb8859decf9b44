//! The DIMSE services with other people's senders and receivers: DCMTK and pynetdicom.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use pe_node::config::Config;
use pe_node::dicom::AeTitle;
use pe_node::dicom::bounded::Limits;
use pe_node::node::archive::{Archive, Level, Query};
use pe_node::node::arrivals::Unheard;
use pe_node::node::dimse::Status;
use pe_node::node::dimse::scp::{self, Services};
use pe_node::node::dimse::scu::{self, Outgoing, Peer, SendOutcome};
use pe_node::node::queue::Rules;
use pe_node::node::shutdown::Shutdown;
use pe_node::node::store::Store;

const SERIES: &str = "1.2.826.0.1.7";

/// A provider on a free port, and the runtime it lives on.
struct Node {
    runtime: tokio::runtime::Runtime,
    address: SocketAddr,
    archive: Archive,
    limits: Limits,
    folder: tempfile::TempDir,
}

impl Node {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut config = Config::from_defaults(&[]).expect("settings");
        config.storage.path = folder.path().join("archive");
        let runtime = tokio::runtime::Runtime::new().expect("runtime");
        let (archive, listener) = runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
            let rules = Rules::new(&config.analysis, &config.destinations, false);
            let store = Store::open(&config.storage, rules).await.expect("store");
            (Archive::open(&config.storage, config.limits, store).await.expect("archive"), listener)
        });
        let address = listener.local_addr().expect("address");
        let services = Services {
            config: config.dicom,
            destinations: config.destinations,
            limits: config.limits,
            archive: archive.clone(),
            events: Arc::new(Unheard),
        };
        runtime.spawn(scp::run(listener, services, Shutdown::new()));
        Self { runtime, address, archive, limits: config.limits, folder }
    }

    fn port(&self) -> String {
        self.address.port().to_string()
    }

    fn stored(&self) -> usize {
        self.runtime.block_on(self.archive.find(Level::Instance, &Query::default())).expect("query").len()
    }

    /// A folder of CT slices with `size` rows and columns.
    fn slices(&self, count: u16, size: u16) -> PathBuf {
        let folder = self.folder.path().join(format!("slices-{count}-{size}"));
        std::fs::create_dir(&folder).expect("folder");
        for number in 1..=count {
            write_slice(number, size, &folder.join(format!("{number:04}.dcm")));
        }
        folder
    }
}

fn write_slice(number: u16, size: u16, path: &Path) {
    let instance = format!("{SERIES}.{number}");
    let texts = [
        (tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE),
        (tags::SOP_INSTANCE_UID, VR::UI, instance.as_str()),
        (tags::STUDY_INSTANCE_UID, VR::UI, "1.2.826.0.1"),
        (tags::SERIES_INSTANCE_UID, VR::UI, SERIES),
        (tags::MODALITY, VR::CS, "CT"),
        (tags::PATIENT_NAME, VR::PN, "Phantom"),
        (tags::PATIENT_ID, VR::LO, "P-1"),
        (tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
    ];
    let shorts = [
        (tags::ROWS, size),
        (tags::COLUMNS, size),
        (tags::SAMPLES_PER_PIXEL, 1),
        (tags::BITS_ALLOCATED, 16),
        (tags::BITS_STORED, 16),
        (tags::HIGH_BIT, 15),
        (tags::PIXEL_REPRESENTATION, 0),
    ];
    let mut data_set = InMemDicomObject::new_empty();
    for (tag, representation, text) in texts {
        data_set.put(DataElement::new(tag, representation, text));
    }
    for (tag, value) in shorts {
        data_set.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
    }
    let pixels: Vec<u16> = (0..usize::from(size) * usize::from(size)).map(|index| (index % 4096) as u16).collect();
    data_set.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(pixels.into())));
    let meta = FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    data_set.with_meta(meta).expect("meta").write_to_file(path).expect("write");
}

/// A program of DCMTK; its absence is a failure in CI and a line on other machines. pynetdicom brings programs of the same
/// names, so each one on the path is asked who it is.
fn dcmtk(name: &str) -> Option<String> {
    let is_dcmtk = |program: &PathBuf| {
        let version = Command::new(program).arg("--version").output();
        version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("$dcmtk"))
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(is_dcmtk);
    if found.is_none() {
        crate::testing::skip(&format!("{name} of DCMTK"));
    }
    found.map(|program| program.display().to_string())
}

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().expect("the program starts")
}

fn assert_done(output: &Output) {
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn dcmtk_verifies_the_node_under_its_own_title_only() {
    let Some(echoscu) = dcmtk("echoscu") else { return };
    let node = Node::start();
    assert_done(&run(&echoscu, &["-aec", "PE-NODE", "127.0.0.1", &node.port()]));
    let refused = run(&echoscu, &["-aec", "WRONG", "127.0.0.1", &node.port()]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("Called AE Title Not Recognized"));
}

#[test]
fn dcmtk_stores_objects_with_default_options() {
    let (Some(storescu), Some(dcmsend)) = (dcmtk("storescu"), dcmtk("dcmsend")) else { return };
    let node = Node::start();
    let folder = node.slices(12, 64);
    assert_done(&run(&storescu, &["-aec", "PE-NODE", "+sd", "127.0.0.1", &node.port(), &folder.display().to_string()]));
    assert_eq!(node.stored(), 12);
    let node = Node::start();
    let small = node.slices(20, 32);
    assert_done(&run(&dcmsend, &["-aec", "PE-NODE", "+sd", "127.0.0.1", &node.port(), &small.display().to_string()]));
    assert_eq!(node.stored(), 20);
}

#[test]
fn three_hundred_slices_arrive_and_their_time_is_noted() {
    let Some(dcmsend) = dcmtk("dcmsend") else { return };
    let node = Node::start();
    let folder = node.slices(300, 512);
    let start = Instant::now();
    assert_done(&run(&dcmsend, &["-aec", "PE-NODE", "+sd", "127.0.0.1", &node.port(), &folder.display().to_string()]));
    let seconds = start.elapsed().as_secs_f64();
    println!("dcmsend, 300 slices of 512x512, default options: {seconds:.2} s");
    assert_eq!(node.stored(), 300);
}

#[test]
fn pynetdicom_stores_objects_and_hears_why_one_is_refused() {
    const SCRIPT: &str = r#"
import glob, sys
from pydicom import dcmread
from pynetdicom import AE
from pynetdicom.sop_class import CTImageStorage, Verification
ae = AE(ae_title="PYTHON")
ae.add_requested_context(Verification)
ae.add_requested_context(CTImageStorage)
association = ae.associate("127.0.0.1", int(sys.argv[1]), ae_title="PE-NODE")
assert association.is_established
assert association.send_c_echo().Status == 0
files = sorted(glob.glob(sys.argv[2] + "/*.dcm"))
for file in files:
    assert association.send_c_store(file).Status == 0, file
bad = dcmread(files[0])
bad.StudyInstanceUID = ""
status = association.send_c_store(bad)
assert status.Status == 0xA900, status
assert association.send_c_store(files[0]).Status == 0
association.release()
"#;
    let python = std::env::var("PE_NODE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let present = run(&python, &["-c", "import pynetdicom"]).status.success();
    if !present {
        return crate::testing::skip("pynetdicom");
    }
    let node = Node::start();
    let folder = node.slices(5, 64);
    assert_done(&run(&python, &["-c", SCRIPT, &node.port(), &folder.display().to_string()]));
    assert_eq!(node.stored(), 5);
}

#[test]
fn the_node_stores_at_dcmtk_also_where_only_implicit_representation_is_taken() {
    let Some(storescp) = dcmtk("storescp") else { return };
    let node = Node::start();
    let folder = node.slices(3, 64);
    let objects: Vec<Outgoing> = std::fs::read_dir(folder)
        .expect("folder")
        .map(|entry| Outgoing::identify(&entry.expect("entry").path(), &node.limits).expect("identified"))
        .collect();
    for option in ["+x=", "+xi"] {
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("address").port();
        let received = node.folder.path().join(format!("received-{port}"));
        std::fs::create_dir(&received).expect("folder");
        let mut receiver = Command::new(&storescp)
            .args([option, "-od", &received.display().to_string(), &port.to_string()])
            .stderr(Stdio::null())
            .spawn()
            .expect("storescp starts");
        let title = |text| AeTitle::parse(text).expect("title");
        let peer = Peer {
            address: format!("127.0.0.1:{port}"),
            called: title("ANY"),
            calling: title("PE-NODE"),
            originator: None,
            timeout: Duration::from_secs(10),
        };
        let outcomes = node.runtime.block_on(async {
            for _ in 0..200 {
                if scu::echo(&peer).await.is_ok() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
            scu::store(&peer, &objects, &node.limits, |_, _| {}).await
        });
        receiver.kill().expect("stopped");
        receiver.wait().expect("ended");
        assert_eq!(outcomes, vec![SendOutcome::Stored(Status::SUCCESS); 3], "{option}");
        assert_eq!(std::fs::read_dir(&received).expect("folder").count(), 3);
    }
}
