//! What tests of more than one room need: real processes, real servers, and the rules of the house. The tests themselves are in `tests/`.

pub mod house;
pub mod place;
pub mod postgres;
