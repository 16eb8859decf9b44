//! DICOMweb with other people's client: dicomweb-client over pydicom.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use pe_node::config::Config;
use pe_node::engine::models::ModelIdentity;
use pe_node::engine::models::lineup::Packages;
use pe_node::node::archive::Archive;
use pe_node::node::arrivals::Unheard;
use pe_node::node::http;
use pe_node::node::queue::Rules;
use pe_node::node::shutdown::Shutdown;
use pe_node::node::store::Store;
use pe_node::node::web::{self, Services};
use pe_node::node::worker::Analysis;

/// The HTTP interface on a free port, over an empty archive.
async fn interface(folder: &std::path::Path, shutdown: Shutdown) -> SocketAddr {
    let mut config = Config::from_defaults(&[]).expect("settings");
    config.storage.path = folder.join("archive");
    let rules = Rules::new(&config.analysis, &config.destinations, false);
    let store = Store::open(&config.storage, rules).await.expect("store");
    let archive = Archive::open(&config.storage, config.limits, store.clone()).await.expect("archive");
    let model = |package: &str| ModelIdentity { package: package.parse().expect("a package"), sha256: String::new() };
    let packages = Packages { lungs: model("lungs/1.0.0"), embolism: model("embolism/1.0.0") };
    let (_, analysis) = tokio::sync::watch::channel(Analysis { ready: None, packages, refused: None });
    let (_, models) = tokio::sync::watch::channel(Vec::new());
    let (_, shadow) = tokio::sync::watch::channel(None);
    let router = web::router(Services {
        config: config.http,
        limits: config.limits,
        archive,
        store,
        events: Arc::new(Unheard),
        analysis,
        models,
        shadow,
        destinations: Vec::new(),
        viewer: None,
    })
    .expect("router");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    tokio::spawn(http::serve(listener, router, shutdown));
    address
}

const SCRIPT: &str = r#"
import io, sys
import numpy, pydicom, requests
from dicomweb_client.api import DICOMwebClient
from pydicom.encaps import encapsulate
from pydicom.uid import (CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless,
                         MultiFrameGrayscaleByteSecondaryCaptureImageStorage)

url = sys.argv[1]
client = DICOMwebClient(url=url)
STUDY, SERIES = "1.2.826.0.1.9", "1.2.826.0.1.9.1"


def image(number, syntax, frames=1):
    one = pydicom.Dataset()
    one.file_meta = pydicom.dataset.FileMetaDataset()
    one.file_meta.TransferSyntaxUID = syntax
    one.SOPClassUID = CTImageStorage if frames == 1 else MultiFrameGrayscaleByteSecondaryCaptureImageStorage
    one.SOPInstanceUID = f"{SERIES}.{number}"
    one.file_meta.MediaStorageSOPClassUID, one.file_meta.MediaStorageSOPInstanceUID = one.SOPClassUID, one.SOPInstanceUID
    one.StudyInstanceUID, one.SeriesInstanceUID = STUDY, SERIES
    one.SpecificCharacterSet = "ISO_IR 100"
    one.PatientName, one.PatientID = "Müller^Jörg", "P-9"
    one.StudyDate, one.Modality, one.InstanceNumber = "20240229", "CT", number
    one.ImagePositionPatient = [0, 0, number * 1.25]
    one.Rows, one.Columns, one.SamplesPerPixel, one.PhotometricInterpretation = 7, 9, 1, "MONOCHROME2"
    one.BitsAllocated = one.BitsStored = 8 if frames > 1 else 16
    one.HighBit, one.PixelRepresentation = one.BitsStored - 1, 0
    if frames > 1:
        one.NumberOfFrames = frames
    kind = numpy.uint8 if frames > 1 else numpy.uint16
    pixels = (numpy.arange(frames * 63) * 31 + number).astype(kind)
    one.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    one["PixelData"].VR = "OB" if frames > 1 else "OW"
    return one, pixels.reshape(frames, 7, 9)


sent = {}
for number, syntax, frames in ((1, ExplicitVRLittleEndian, 1), (2, ImplicitVRLittleEndian, 1), (3, ExplicitVRLittleEndian, 3)):
    one, pixels = image(number, syntax, frames)
    sent[one.SOPInstanceUID] = one, pixels
packed, pixels = image(4, ExplicitVRLittleEndian)
packed.compress(RLELossless, arr=pixels[0], generate_instance_uid=False)
sent[packed.SOPInstanceUID] = packed, pixels

answer = client.store_instances([one for one, _ in sent.values()])
assert len(answer.ReferencedSOPSequence) == len(sent), answer
assert "FailedSOPSequence" not in answer

[study] = client.search_for_studies(search_filters={"PatientID": "P-9"}, fields=["PatientName"])
assert study["00100010"]["Value"][0]["Alphabetic"] == "Müller^Jörg", study
assert client.search_for_studies(search_filters={"StudyDate": "20250101-"}) == []
[series] = client.search_for_series(STUDY)
assert series["0020000E"]["Value"] == [SERIES]
assert len(client.search_for_instances(STUDY, SERIES)) == len(sent)
assert len(client.search_for_instances(STUDY, SERIES, limit=2, offset=3)) == 1

as_stored = (("application/dicom", "*"),)
for back in client.retrieve_series(STUDY, SERIES, media_types=as_stored):
    one, pixels = sent[back.SOPInstanceUID]
    assert back.file_meta.TransferSyntaxUID == one.file_meta.TransferSyntaxUID, back.file_meta
    assert back.PixelData == one.PixelData and back.PatientName == one.PatientName
assert len(client.retrieve_study(STUDY)) == len(sent)
explicit = client.retrieve_instance(STUDY, SERIES, packed.SOPInstanceUID, media_types=(("application/dicom", ExplicitVRLittleEndian),))
assert explicit.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
assert (explicit.pixel_array == sent[packed.SOPInstanceUID][1][0]).all()

assert len(client.retrieve_series_metadata(STUDY, SERIES)) == len(sent)
# The client's Host header lacks the port, and with it the references in the answer would.
answer = requests.get(f"{url}/studies/{STUDY}/series/{SERIES}/metadata", headers={"Accept": "application/dicom+json"})
metadata = answer.json()
assert len(metadata) == len(sent)
for item in metadata:
    dataset = pydicom.Dataset.from_json(item, bulk_data_uri_handler=lambda tag, vr, uri: None)
    one, pixels = sent[dataset.SOPInstanceUID]
    assert dataset.ImagePositionPatient == one.ImagePositionPatient and str(dataset.PatientName) == "Müller^Jörg"
    reference = item["7FE00010"]["BulkDataURI"]
    [bulk] = client.retrieve_bulkdata(reference)
    assert bulk[:pixels.nbytes] == pixels.tobytes(), dataset.SOPInstanceUID
    part = requests.get(reference, headers={"Range": "bytes=10-19"})
    assert part.status_code == 206 and part.content == pixels.tobytes()[10:20]

for uid, (one, pixels) in sent.items():
    numbers = list(range(1, len(pixels) + 1))
    frames = client.retrieve_instance_frames(STUDY, SERIES, uid, numbers)
    assert [bytes(frame) for frame in frames] == [frame.tobytes() for frame in pixels], uid
    rendered = client.retrieve_instance_rendered(STUDY, SERIES, uid, media_types=("image/png",))
    assert rendered[:4] == b"\x89PNG"

try:
    client.retrieve_instance(STUDY, SERIES, "1.2.3")
    raise AssertionError("an instance that is not there was found")
except requests.HTTPError as error:
    assert error.response.status_code == 404
print("done")
"#;

#[test]
fn dicomweb_client_stores_searches_and_retrieves() {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/target/venv/bin/python");
    let python = std::env::var("PE_NODE_PYTHON").unwrap_or_else(|_| default.to_owned());
    let probe = Command::new(&python).args(["-c", "import dicomweb_client, numpy"]).output();
    let present = probe.is_ok_and(|output| output.status.success());
    if !present {
        return crate::testing::skip("dicomweb-client");
    }
    let folder = tempfile::tempdir().expect("temporary folder");
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    let address = runtime.block_on(interface(folder.path(), Shutdown::new()));
    let url = format!("http://{address}/dicomweb");
    let output = Command::new(python).args(["-c", SCRIPT, &url]).output().expect("the client starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
