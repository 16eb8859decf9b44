//! Series that are assembled again, since what is listed of them changed.

use crate::dicom::SeriesId;
use crate::node::store::database::Change;
use crate::node::store::error::Fault;

/// Has a series assembled again.
pub(in crate::node::store) async fn assemble_again(change: &mut Change, series: &SeriesId) -> Result<(), Fault> {
    sqlx::query("UPDATE series SET revision = revision + 1 WHERE study_instance_uid = $1 AND series_instance_uid = $2")
        .bind(series.study_instance_uid.as_str())
        .bind(series.series_instance_uid.as_str())
        .execute(&mut **change)
        .await?;
    Ok(())
}
