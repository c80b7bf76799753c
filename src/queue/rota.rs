//! Those who take turns, and what each of them has. Knows nothing of who they are.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Members by name and by their next turn. All operations take O(log n).
#[derive(Debug)]
pub(super) struct Rota<T> {
    turns: BTreeMap<u64, Arc<str>>,
    members: HashMap<Arc<str>, Member<T>>,
}

#[derive(Debug)]
struct Member<T> {
    turn: u64,
    has: T,
}

impl<T> Default for Rota<T> {
    fn default() -> Self {
        Self { turns: BTreeMap::new(), members: HashMap::new() }
    }
}

impl<T> Rota<T> {
    /// What the member that is next has, and its turn and name.
    pub(super) fn first(&self) -> Option<(u64, &Arc<str>, &T)> {
        let (turn, name) = self.turns.first_key_value()?;
        Some((*turn, name, &self.members.get(name)?.has))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn get_mut(&mut self, name: &Arc<str>) -> Option<&mut T> {
        self.members.get_mut(name).map(|member| &mut member.has)
    }

    /// A new member comes after all others. `turns` yields its turn.
    pub(super) fn get_or_add(&mut self, name: &Arc<str>, turns: &mut u64) -> &mut T
    where
        T: Default,
    {
        let added = self.members.entry(Arc::clone(name)).or_insert_with(|| {
            let turn = next(turns);
            self.turns.insert(turn, Arc::clone(name));
            Member { turn, has: T::default() }
        });
        &mut added.has
    }

    /// A member, if it is one, had its turn.
    pub(super) fn had_turn(&mut self, name: &Arc<str>, turns: &mut u64) {
        if let Some(member) = self.members.get_mut(name) {
            self.turns.remove(&member.turn);
            member.turn = next(turns);
            self.turns.insert(member.turn, Arc::clone(name));
        }
    }

    pub(super) fn remove(&mut self, name: &Arc<str>) {
        if let Some(member) = self.members.remove(name) {
            self.turns.remove(&member.turn);
        }
    }
}

fn next(turns: &mut u64) -> u64 {
    *turns += 1;
    *turns
}
