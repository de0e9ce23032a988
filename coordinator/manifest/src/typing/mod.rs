//! The types of everything that flows between systems, checked before anything runs.
//!
//! [`world`] knows the type of every name and, by [`certainty`], when it is there; [`infer`] works out the type of an expression, with what its
//! conditions make certain ([`facts`]); [`places`] compares it with what its place asks for.
//!
//! What is said is certain: an *error* has a value that would fail. What cannot be shown either way is said once per place, as
//! information, and stays allowed.

mod calls;
mod certainty;
mod error_codes;
mod facts;
mod infer;
mod places;
mod world;

use crate::report::Report;
use crate::typed_parts::Parts;

/// Checks the types of a manifest whose structure, graph and names hold.
pub(crate) fn check(parts: &Parts<'_>, report: &mut Report<'_>) {
    let world = world::World::of(parts);
    places::check(&world, parts, report);
}
