//! Who can do what: systems, their capabilities with contracts, and the workers that live now.
//!
//! Pure: instants are parameters, nothing is sent from here. Contracts and systems are stored by the runtime's commit; workers
//! are not stored at all, because they announce themselves again.
//!
//! Start reading at [`registry::Registry`]; what workers say and are told is in [`message`];
//! whether a contract fits the workflows that rely on it is in [`gate`].

pub mod gate;
pub mod message;
pub mod registry;
pub mod session;

pub use registry::{Capability, DrainRefusal, Registry, System};
pub use session::{Session, SessionKey, Withheld};
