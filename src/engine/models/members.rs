//! How a manifest writes calibrations: one table for a package of one network, an array of tables for an ensemble, the
//! members in order.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::calibration::Calibration;

pub(super) fn serialize<S: Serializer>(members: &[Calibration], serializer: S) -> Result<S::Ok, S::Error> {
    match members {
        [single] => single.serialize(serializer),
        several => several.serialize(serializer),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Calibration>, D::Error> {
    deserializer.deserialize_any(Members)
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<Calibration>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a calibration, or one for each member")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Ok(vec![Calibration::deserialize(MapAccessDeserializer::new(map))?])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some(member) = members.next_element()? {
            all.push(member);
        }
        Ok(all)
    }
}
