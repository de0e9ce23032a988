//! What the runtime needs from the outside world. Each port has two real implementations.

pub mod bus;
pub mod egress;
pub mod shards;
pub mod store;
pub mod surroundings;
