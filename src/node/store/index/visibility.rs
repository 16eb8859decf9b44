//! Whether an instance is listed and retrieved. Nothing is deleted by it, and each step can be revoked.

use serde::{Deserialize, Serialize};
use sqlx::{QueryBuilder, Sqlite};

use crate::dicom::Uid;
use crate::node::store::database::Change;
use crate::node::store::error::Fault;

/// Whether an instance is listed and retrieved. A study or a series of which nothing is listed is not listed itself.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Visibility {
    /// Listed and retrieved. Every instance begins so.
    Current,
    /// A result that a newer one replaced. It is retrieved by its SOP Instance UID alone: a report that was sent may
    /// still be read. A search lists it where a setting says so.
    Superseded,
    /// It stands under an identity that was corrected: neither listed nor retrieved.
    Withdrawn,
    /// A rejection note names it (IHE IOCM): neither listed nor retrieved.
    Rejected,
}

impl Visibility {
    /// The name in the database.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// What a search lists besides what is current, as a bound value: NULL, which equals nothing, or superseded results.
pub(in crate::node::store) fn also_listed(list_superseded: bool) -> Option<&'static str> {
    list_superseded.then(|| Visibility::Superseded.name())
}

/// The condition that the instance `i` is listed.
pub(super) fn push_listed(statement: &mut QueryBuilder<Sqlite>, also_listed: Option<&'static str>) {
    statement.push("(i.visibility = 'current' OR i.visibility = ").push_bind(also_listed).push(")");
}

/// Changes the visibility of an instance from one to another. Returns whether it was the one.
pub(in crate::node::store) async fn set_visibility(
    change: &mut Change,
    sop_instance_uid: &Uid,
    from: Visibility,
    to: Visibility,
) -> Result<bool, Fault> {
    let changed = sqlx::query("UPDATE instances SET visibility = $3 WHERE sop_instance_uid = $1 AND visibility = $2")
        .bind(sop_instance_uid.as_str())
        .bind(from.name())
        .bind(to.name())
        .execute(&mut **change)
        .await?
        .rows_affected();
    Ok(changed == 1)
}
