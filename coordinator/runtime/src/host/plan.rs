//! Who should run what: a pure function of what the database says.
//!
//! Every coordinator computes the same fair share, takes what is free up to its share, and lets go of what is above it when somebody else has
//! room. Nobody is asked and nobody decides for others, so a coordinator that is wrong about the others costs a hand-over, never a shard.

use crate::port::shards::{CoordinatorId, Standing};
use std::collections::BTreeSet;
use tasker_engine::ShardId;

/// What a coordinator does about its shards now.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Free shards to take, in order.
    pub take: Vec<ShardId>,
    /// Own shards to hand over.
    pub hand_over: Vec<ShardId>,
}

/// Decides. `held` are the shards whose loop runs here or is being started.
pub fn plan(me: CoordinatorId, held: &BTreeSet<ShardId>, standing: &Standing) -> Plan {
    let living = standing.coordinators.len().max(1);
    let share = standing.leases.len().div_ceil(living);
    let owned_by = |id: CoordinatorId| standing.leases.iter().filter(|lease| lease.owner == Some(id)).count();
    let free = standing.leases.iter().filter(|lease| lease.owner.is_none() || (lease.owner == Some(me) && !held.contains(&lease.shard)));
    let take: Vec<ShardId> = free.map(|lease| lease.shard).take(share.saturating_sub(held.len())).collect();
    if held.len() <= share || !take.is_empty() {
        return Plan { take, hand_over: Vec::new() };
    }
    // Room that others have below their share, not counting what is free for them already.
    let room: usize = standing.coordinators.iter().filter(|peer| peer.id != me).map(|peer| share.saturating_sub(owned_by(peer.id))).sum();
    let free = standing.leases.iter().filter(|lease| lease.owner.is_none()).count();
    let surplus = (held.len() - share).min(room.saturating_sub(free));
    Plan { take, hand_over: held.iter().rev().take(surplus).copied().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::shards::{Lease, Peer};
    use proptest::prelude::*;

    fn standing(living: &[i64], owners: &[Option<i64>]) -> Standing {
        let peer = |id: &i64| Peer { id: CoordinatorId(*id), name: id.to_string(), url: None };
        let lease = |(shard, owner): (usize, &Option<i64>)| Lease {
            shard: ShardId(shard as u8),
            epoch: 1,
            owner: owner.filter(|owner| living.contains(owner)).map(CoordinatorId),
        };
        Standing { coordinators: living.iter().map(peer).collect(), leases: owners.iter().enumerate().map(lease).collect() }
    }

    fn held_by(id: i64, standing: &Standing) -> BTreeSet<ShardId> {
        standing.leases.iter().filter(|lease| lease.owner == Some(CoordinatorId(id))).map(|lease| lease.shard).collect()
    }

    #[test]
    fn one_coordinator_takes_everything() {
        let standing = standing(&[1], &[None; 8]);
        let plan = plan(CoordinatorId(1), &BTreeSet::new(), &standing);
        assert_eq!((plan.take.len(), plan.hand_over.len()), (8, 0));
    }

    #[test]
    fn a_second_one_gets_half_and_the_first_lets_go_of_no_more() {
        let standing = standing(&[1, 2], &[Some(1); 8]);
        assert_eq!(plan(CoordinatorId(1), &held_by(1, &standing), &standing).hand_over.len(), 4);
        assert_eq!(plan(CoordinatorId(2), &BTreeSet::new(), &standing), Plan::default(), "nothing is free yet");
    }

    #[test]
    fn what_is_free_already_is_not_handed_over_again() {
        let standing = standing(&[1, 2], &[Some(1), Some(1), Some(1), Some(1), Some(1), Some(1), None, None]);
        assert_eq!(plan(CoordinatorId(1), &held_by(1, &standing), &standing).hand_over.len(), 2);
    }

    #[test]
    fn a_dead_coordinators_shards_are_free() {
        let standing = standing(&[2], &[Some(1), Some(2)]);
        assert_eq!(plan(CoordinatorId(2), &held_by(2, &standing), &standing).take, [ShardId(0)]);
    }

    proptest! {
        /// From any distribution, with coordinators acting one after another in any order, everything is owned in fair shares after a few rounds, and
        /// then nothing moves any more.
        #[test]
        fn shards_settle_in_fair_shares(
            living in 1usize..6,
            owners in prop::collection::vec(prop::option::of(0i64..7), 1..17),
            order in prop::collection::vec(0usize..6, 60),
        ) {
            let ids: Vec<i64> = (0..living as i64).collect();
            let mut owners = owners;
            for at in order.into_iter().chain(0..6).chain(0..6) {
                let id = ids[at % living];
                let now = standing(&ids, &owners);
                let plan = plan(CoordinatorId(id), &held_by(id, &now), &now);
                for shard in plan.take {
                    owners[shard.0 as usize] = Some(id);
                }
                for shard in plan.hand_over {
                    prop_assert_eq!(owners[shard.0 as usize], Some(id), "only what is one's own is handed over");
                    owners[shard.0 as usize] = None;
                }
            }
            for _ in 0..3 {
                for id in &ids {
                    let now = standing(&ids, &owners);
                    for shard in plan(CoordinatorId(*id), &held_by(*id, &now), &now).take {
                        owners[shard.0 as usize] = Some(*id);
                    }
                }
            }
            let settled = standing(&ids, &owners);
            let share = owners.len().div_ceil(living);
            for id in &ids {
                let held = held_by(*id, &settled);
                prop_assert!(held.len() <= share);
                prop_assert_eq!(plan(CoordinatorId(*id), &held, &settled), Plan::default());
            }
            prop_assert!(settled.leases.iter().all(|lease| lease.owner.is_some()), "nothing stays without an owner");
        }
    }
}
