//! Model packages: what they are ([`manifest`]), which is active, and running them.

pub mod manifest;
