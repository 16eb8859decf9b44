//! Parts of lists that are too long for one answer.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use sqlx::{QueryBuilder, Sqlite};

use super::views::{JobView, SeriesProgress, StudyView};
use crate::node::queue::JobState;

/// A part of a list that is in order of time, newest first. `S` is the state that its entries are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<S> {
    /// At most so many entries.
    pub limit: u32,
    /// Where it begins.
    pub start: Start,
    /// Only what is in this state.
    pub state: Option<S>,
}

/// Where a part of a list begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// After so many entries. Entries that are added meanwhile move the others.
    Skipping(u32),
    /// After this entry, whatever is added meanwhile.
    After(Cursor),
}

/// The beginning of a list.
impl<S> From<u32> for Page<S> {
    fn from(limit: u32) -> Self {
        Self { limit, start: Start::Skipping(0), state: None }
    }
}

/// The place of an entry in a list: its time and its identifier. As text, `milliseconds-identifier`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    at: Timestamp,
    id: String,
}

/// A text that is no place in a list.
#[derive(Debug, thiserror::Error)]
#[error("a cursor of an earlier answer was expected")]
pub struct CursorError;

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (at, id) = text.split_once('-').ok_or(CursorError)?;
        let at = at.parse().ok().and_then(|at| Timestamp::from_millisecond(at).ok()).ok_or(CursorError)?;
        Ok(Self { at, id: id.to_owned() })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.at.as_millisecond(), self.id)
    }
}

/// An entry of a list.
pub trait Listed {
    /// The states that a list can be narrowed to.
    type State: FromStr;

    /// Its place.
    fn cursor(&self) -> Cursor;
}

impl Listed for StudyView {
    type State = SeriesProgress;

    fn cursor(&self) -> Cursor {
        Cursor { at: self.received_at, id: self.study_instance_uid.to_string() }
    }
}

impl Listed for JobView {
    type State = JobState;

    fn cursor(&self) -> Cursor {
        Cursor { at: self.created_at, id: self.id.to_string() }
    }
}

/// Ends a statement with the part of the list that is wanted, newest first. `time` and `id` are its columns.
pub(super) fn push_page<S>(statement: &mut QueryBuilder<Sqlite>, page: &Page<S>, time: &'static str, id: &'static str) {
    if let Start::After(Cursor { at, id: last }) = &page.start {
        let at = at.as_millisecond();
        statement.push(" AND ").push(time).push(" <= ").push_bind(at);
        statement.push(" AND (").push(time).push(" < ").push_bind(at);
        statement.push(" OR ").push(id).push(" > ").push_bind(last.clone()).push(")");
    }
    statement.push(" ORDER BY ").push(time).push(" DESC, ").push(id);
    statement.push(" LIMIT ").push_bind(page.limit);
    if let Start::Skipping(entries) = page.start {
        statement.push(" OFFSET ").push_bind(entries);
    }
}
