//! The types of the built-in kinds.
//!
//! Owns which kinds have a type, their JSON schemas, which k8s-openapi generates from upstream's, and the form of
//! those that `decoding` walks. Both are made when they are first asked for, so that a server starts without them.

mod catalogue;
mod shape;

pub(crate) use catalogue::catalogue;
pub(crate) use shape::{Shape, Struct, object_meta, of_kind};
