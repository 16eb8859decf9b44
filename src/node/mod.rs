//! Everything that waits: network, disk, queue.
//!
//! `archive < queue < assembly < dimse, dicomweb < deliver < worker < web`.

pub mod archive;
