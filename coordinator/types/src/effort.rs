//! How much one question may cost. All parts of an answer draw on the same stock, so that bounds do not multiply; whoever
//! finds it empty says that it cannot say.

use crate::limits::{COMPARISONS_MAX, EVALUATIONS_MAX, SAMPLES_MADE_MAX, WALKED_MAX};
use std::cell::Cell;

/// What is left for one question.
pub(crate) struct Effort {
    comparisons: Cell<u32>,
    evaluations: Cell<u32>,
    samples: Cell<u32>,
    walked: Cell<u32>,
}

impl Effort {
    /// For one comparison, or for one value.
    pub(crate) const fn one() -> Self {
        Self::times(1)
    }

    /// For a question that is made of several.
    pub(crate) const fn times(times: u32) -> Self {
        Self {
            comparisons: Cell::new(COMPARISONS_MAX * times),
            evaluations: Cell::new(EVALUATIONS_MAX * times),
            samples: Cell::new(SAMPLES_MADE_MAX * times),
            walked: Cell::new(WALKED_MAX * times),
        }
    }

    /// One pair of alternatives.
    pub(crate) fn compare(&self) -> bool {
        spend(&self.comparisons, 1)
    }

    /// One value against one alternative.
    pub(crate) fn evaluate(&self) -> bool {
        spend(&self.evaluations, 1)
    }

    /// One value of one alternative.
    pub(crate) fn make(&self) -> bool {
        spend(&self.samples, 1)
    }

    /// So many states of automata.
    pub(crate) fn walk(&self, states: u32) -> bool {
        spend(&self.walked, states)
    }
}

fn spend(stock: &Cell<u32>, cost: u32) -> bool {
    match stock.get().checked_sub(cost) {
        Some(left) => {
            stock.set(left);
            true
        }
        None => {
            stock.set(0);
            false
        }
    }
}
