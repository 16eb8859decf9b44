//! Changes to the folder of model packages: imports, promotions and rollbacks, and the shadow model.
//!
//! [`crate::engine::models`] reads packages and knows the rules of what is active; here the files are written, by the
//! commands `pe-node models` and by training, one change at a time.

pub mod folder;
pub mod import;
