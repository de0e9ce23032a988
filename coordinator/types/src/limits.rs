//! Everything in this room is bounded; these are the bounds and why they are what they are.

/// The most nodes of one type. A schema of the contract's size limit has at most ten thousand; meeting may add as many again.
pub(crate) const NODES_MAX: usize = 20_000;
/// The most alternatives in one place. Beyond, the alternatives of one kind are taken together as a doubtful one of that kind.
pub(crate) const CASES_MAX: usize = 64;
/// The longest chain of references and combinations about one value, and the deepest literal; each link is a stack frame.
pub(crate) const CHAIN_MAX: usize = 64;
/// The most pairs of alternatives that one comparison looks at. A comparison of ordinary contracts takes tens.
pub(crate) const COMPARISONS_MAX: u32 = 20_000;
/// How deep two types are compared, in levels of the value; contracts nest at most this deep.
pub(crate) const DEPTH_MAX: usize = 64;
/// The most nodes that are put into one sample, so that a type that doubles at each level stays small.
pub(crate) const SAMPLE_NODES_MAX: u32 = 2_000;
/// The most values that are made for one question.
pub(crate) const SAMPLES_MADE_MAX: u32 = 50_000;
/// The most states of automata that are walked for one question.
pub(crate) const WALKED_MAX: u32 = 40_000;
/// What building an automaton costs of that; the dearest ones take some milliseconds.
pub(crate) const BUILD_COST: u32 = 400;
/// The most patterns of one schema that are understood; further ones only equal themselves.
pub(crate) const PATTERNS_MAX: usize = 200;
/// The most memory that one sample takes, about; room for the longest text and the longest list.
pub(crate) const SAMPLE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The deepest sample, in levels of the value.
pub(crate) const SAMPLE_DEPTH_MAX: usize = 32;
/// How many different samples of one alternative are tried as counterexamples before the answer is *unproven*.
pub(crate) const SAMPLES_MAX: usize = 12;
/// The longest text and the longest list in a sample: what exceeds a bound of 65,535 is still shown, larger is not.
pub(crate) const SAMPLE_LENGTH_MAX: u64 = 70_000;
/// The most times that a value is held against an alternative for one question, so that alternatives that multiply end as
/// "cannot say".
pub(crate) const EVALUATIONS_MAX: u32 = 100_000;
/// The most values that are listed for a type with finitely many.
pub(crate) const VALUES_MAX: usize = 256;
/// The most pieces that one alternative is cut into when no single alternative of the other side holds all of it.
pub(crate) const PIECES_MAX: usize = 32;
/// The most bytes of one pattern's automaton; a pattern that needs more is compared by its text alone.
pub(crate) const AUTOMATON_BYTES_MAX: usize = 256 * 1024;
/// The most states of several automata walked together.
pub(crate) const WALK_STATES_MAX: usize = 4_000;
/// The most words of an enumeration that are made into an automaton.
pub(crate) const WALK_WORDS_MAX: usize = 200;
/// The longest text inside a message.
pub(crate) const MESSAGE_CHARS_MAX: usize = 120;
/// The most nodes that are written as a schema, so that alternatives that multiply stay a schema of some hundred kilobytes.
pub(crate) const SCHEMA_NODES_MAX: usize = 2_000;
/// The most changes between two schemas that are listed; who has more has another contract.
pub(crate) const CHANGES_MAX: usize = 500;
