//! Who is interested in which subjects: a tree with one level per token.
//!
//! Matching visits only the branches that can match, so that it costs the length of the subject and not the number of
//! subscriptions. Queue groups of the same name are one group, whichever patterns their members used.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::peer::Interest;

/// All subscriptions.
#[derive(Default)]
pub(super) struct Index {
    root: Node,
    count: usize,
}

#[derive(Default)]
struct Node {
    literals: HashMap<Box<[u8]>, Node>,
    one: Option<Box<Node>>,
    rest: Subscribers,
    here: Subscribers,
}

#[derive(Default)]
struct Subscribers {
    plain: Vec<Arc<Interest>>,
    members: Vec<Arc<Interest>>,
}

/// Who gets messages of one subject.
#[derive(Default)]
pub(super) struct Matches {
    /// Each of them gets every message.
    pub(super) plain: Vec<Arc<Interest>>,
    /// One member of each group gets each message.
    pub(super) groups: Vec<Group>,
}

/// The members of one queue group for one subject.
pub(super) struct Group {
    name: Bytes,
    pub(super) members: Vec<Arc<Interest>>,
}

impl Matches {
    pub(super) fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.groups.is_empty()
    }

    fn add(&mut self, subscribers: &Subscribers) {
        self.plain.extend(subscribers.plain.iter().cloned());
        for interest in &subscribers.members {
            let Some(name) = &interest.queue else {
                continue;
            };
            match self.groups.iter_mut().find(|group| group.name == *name) {
                Some(group) => group.members.push(Arc::clone(interest)),
                None => {
                    let group = Group { name: name.clone(), members: vec![Arc::clone(interest)] };
                    self.groups.push(group);
                }
            }
        }
    }
}

impl Index {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn insert(&mut self, interest: Arc<Interest>) {
        self.count += 1;
        let mut node = &mut self.root;
        for token in interest.pattern.tokens() {
            match token {
                b">" => {
                    node.rest.insert(Arc::clone(&interest));
                    return;
                }
                b"*" => node = node.one.get_or_insert_default(),
                literal => {
                    if !node.literals.contains_key(literal) {
                        node.literals.insert(literal.into(), Node::default());
                    }
                    node = node.literals.get_mut(literal).expect("the branch was just made sure of");
                }
            }
        }
        node.here.insert(Arc::clone(&interest));
    }

    /// Removes a subscription and the branches that only it used; removing twice changes nothing.
    pub(super) fn remove(&mut self, interest: &Arc<Interest>) -> bool {
        let tokens: Vec<&[u8]> = interest.pattern.tokens().collect();
        let removed = self.root.remove(&tokens, interest);
        self.count -= usize::from(removed);
        removed
    }

    pub(super) fn matches(&self, subject: &[u8]) -> Matches {
        let mut matches = Matches::default();
        self.root.walk(Some(subject), &mut |subscribers| {
            matches.add(subscribers);
            false
        });
        matches
    }

    /// Whether anybody would get a message of this subject.
    pub(super) fn has_interest(&self, subject: &[u8]) -> bool {
        self.root.walk(Some(subject), &mut |subscribers| !subscribers.is_empty())
    }
}

impl Node {
    /// Visits all subscribers of a subject, of which `rest` is what lies below this node; stops when `visit` says so.
    fn walk(&self, rest: Option<&[u8]>, visit: &mut impl FnMut(&Subscribers) -> bool) -> bool {
        let Some(rest) = rest else {
            return visit(&self.here);
        };
        if visit(&self.rest) {
            return true;
        }
        let (token, below) = match memchr::memchr(b'.', rest) {
            Some(dot) => (&rest[..dot], Some(&rest[dot + 1..])),
            None => (rest, None),
        };
        if let Some(node) = self.literals.get(token)
            && node.walk(below, visit)
        {
            return true;
        }
        self.one.as_ref().is_some_and(|node| node.walk(below, visit))
    }

    fn remove(&mut self, tokens: &[&[u8]], interest: &Arc<Interest>) -> bool {
        match tokens {
            [] => self.here.remove(interest),
            [b">"] => self.rest.remove(interest),
            [b"*", below @ ..] => {
                let Some(node) = &mut self.one else {
                    return false;
                };
                let removed = node.remove(below, interest);
                if node.is_empty() {
                    self.one = None;
                }
                removed
            }
            [literal, below @ ..] => {
                let Some(node) = self.literals.get_mut(*literal) else {
                    return false;
                };
                let removed = node.remove(below, interest);
                if node.is_empty() {
                    self.literals.remove(*literal);
                }
                removed
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.literals.is_empty() && self.one.is_none() && self.rest.is_empty() && self.here.is_empty()
    }
}

impl Subscribers {
    fn insert(&mut self, interest: Arc<Interest>) {
        if interest.queue.is_some() { self.members.push(interest) } else { self.plain.push(interest) }
    }

    fn remove(&mut self, interest: &Arc<Interest>) -> bool {
        let list = if interest.queue.is_some() { &mut self.members } else { &mut self.plain };
        match list.iter().position(|candidate| Arc::ptr_eq(candidate, interest)) {
            Some(place) => {
                list.swap_remove(place);
                true
            }
            None => false,
        }
    }

    fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.members.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::MailboxLimits;
    use super::super::mailbox::Mailbox;
    use super::super::peer::Target;
    use super::super::subject::Pattern;
    use super::*;

    fn sample(pattern: &str, queue: Option<&str>) -> Arc<Interest> {
        let mailbox = Arc::new(Mailbox::new(MailboxLimits::default()));
        let pattern = Pattern::new(pattern.to_owned()).unwrap();
        let queue = queue.map(|name| Bytes::copy_from_slice(name.as_bytes()));
        Arc::new(Interest::new(pattern, queue, Bytes::new(), Target::Mailbox(mailbox)))
    }

    fn index(patterns: &[(&str, Option<&str>)]) -> (Index, Vec<Arc<Interest>>) {
        let mut index = Index::default();
        let interests: Vec<_> = patterns.iter().map(|(pattern, queue)| sample(pattern, *queue)).collect();
        for interest in &interests {
            index.insert(Arc::clone(interest));
        }
        (index, interests)
    }

    #[test]
    fn groups_of_one_name_are_one_group_across_patterns() {
        let (index, _) = index(&[("a.*", Some("q")), ("a.b", Some("q")), ("a.b", Some("r")), ("a.>", None)]);
        let matches = index.matches(b"a.b");
        assert_eq!(matches.plain.len(), 1);
        let mut sizes: Vec<_> = matches.groups.iter().map(|group| (group.name.clone(), group.members.len())).collect();
        sizes.sort();
        assert_eq!(sizes, [("q".into(), 2), ("r".into(), 1)]);
    }

    #[test]
    fn the_tree_is_empty_again_when_all_have_left() {
        let (mut index, interests) = index(&[("a.b.c", None), ("a.*.c", None), ("a.>", Some("q")), (">", None)]);
        for interest in &interests {
            assert!(index.remove(interest));
            assert!(!index.remove(interest));
        }
        assert_eq!(index.len(), 0);
        assert!(index.root.is_empty());
        assert!(!index.has_interest(b"a.b.c"));
    }

    proptest! {
        #[test]
        fn the_tree_agrees_with_the_definition_of_matching(
            patterns in proptest::collection::vec("(([ab]|\\*)\\.){0,3}([ab]|\\*|>)", 1..20),
            subjects in proptest::collection::vec("([ab]\\.){0,3}[ab]", 1..10),
            removed in proptest::collection::vec(any::<prop::sample::Index>(), 0..10),
        ) {
            let pairs: Vec<_> = patterns.iter().map(|pattern| (pattern.as_str(), None)).collect();
            let (mut index, mut interests) = index(&pairs);
            for place in removed {
                if !interests.is_empty() {
                    let interest = interests.swap_remove(place.index(interests.len()));
                    prop_assert!(index.remove(&interest));
                }
            }
            prop_assert_eq!(index.len(), interests.len());
            for subject in subjects {
                let expected = interests.iter().filter(|interest| interest.pattern.matches(subject.as_bytes())).count();
                prop_assert_eq!(index.matches(subject.as_bytes()).plain.len(), expected);
                prop_assert_eq!(index.has_interest(subject.as_bytes()), expected > 0);
            }
        }
    }
}
