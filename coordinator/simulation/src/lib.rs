//! One seed runs a whole cluster, in one thread and in virtual time: several coordinators that contend for one shard, many workers, clients and
//! people. The loop, the engine, the registry and the scheduler are the real ones; the ports are simulated, and so are the faults.
//!
//! Never used by anything that ships. It proves that the promises hold while faults last, that everything ends once they are over, and that the
//! same seed does the same.
//!
//! Start reading at [`run`] in `cluster.rs`; what can go wrong is in `fault.rs`, what is checked in `judge.rs`, and what must have happened in a
//! run of many seeds in `sometimes.rs`. A failing seed prints the command that repeats it.

mod chaos;
mod client;
mod cluster;
mod coordinator;
mod dice;
mod disk;
mod fault;
mod judge;
mod letters;
mod manifests;
mod network;
mod ports;
mod promises;
mod sometimes;
mod worker;

pub use cluster::{Outcome, run};
pub use disk::Disk;
pub use fault::{Fault, Options};
pub use sometimes::{RARE, Sometimes};
