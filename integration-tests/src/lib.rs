//! What tests of more than one room need: real servers of their own. The tests themselves are in `tests/`.

pub mod postgres;
