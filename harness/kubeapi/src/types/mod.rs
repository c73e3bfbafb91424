//! The types of the built-in kinds.
//!
//! Owns which kinds have a type, their JSON schemas, which k8s-openapi generates from upstream's, the form of those that
//! `decoding` walks, and the form in which objects are written. All are made when they are first asked for, so that a
//! server starts without them.

mod catalogue;
pub(crate) mod facts;
mod shape;
mod written;

pub(crate) use catalogue::catalogue;
pub(crate) use shape::{Shape, Struct, object_meta, of_kind};
pub(crate) use written::write_as;
