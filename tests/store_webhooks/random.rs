//! Random interleavings of two dispatchers with events, results, lost processes, redeliveries and clocks: each delivery
//! is delivered at least once and in its lane's order, and no lane ever has two live claims.

use std::collections::BTreeMap;

use a2a_gateway::store::{Redelivery, Ticket};
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// An event of a task.
    Say(usize),
    /// A round of a dispatcher: how many it takes, and what it records of each claim it holds.
    Round(usize, usize, Vec<u8>),
    /// A dispatcher forgets what it holds.
    Lose(usize),
    /// Time passes; or the clock is set back.
    Wait(i64),
    /// A delivery is to be sent again.
    Again(usize),
    /// A webhook is stopped for a while, or goes on.
    Pause(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_usize).prop_map(Step::Say),
        8 => (0..2_usize, 0..4_usize, prop::collection::vec(0..5_u8, 0..4)).prop_map(|(who, take, results)| {
            Step::Round(who, take, results)
        }),
        1 => (0..2_usize).prop_map(Step::Lose),
        3 => prop_oneof![0..2000_i64, Just(LEASE), Just(-60_000)].prop_map(Step::Wait),
        1 => any::<usize>().prop_map(Step::Again),
        1 => any::<bool>().prop_map(Step::Pause),
    ]
}

type Lane = (TaskId, WebhookId);

/// What a test knows besides the store.
struct World {
    rig: Rig,
    now: i64,
    /// The time that the store knows.
    seen: i64,
    tasks: Vec<(Arc<Identity>, u64)>,
    hook: Webhook,
    /// What each dispatcher holds.
    held: [Vec<Claim>; 2],
    /// The newest claim of each lane, unless it has ended, and when it will.
    live: BTreeMap<Lane, (Ticket, i64)>,
    /// How far each lane has been taken, by first deliveries.
    taken: BTreeMap<Lane, u64>,
}

impl World {
    async fn new(kind: Kind) -> Self {
        let rig = Rig::new(kind).await;
        let hook = rig.store.put_webhook(of_agent("me", "a", "agents")).await.unwrap();
        let mut tasks = Vec::new();
        for host in ["one", "two", "one"] {
            let task = identity("me", "a");
            rig.create(&task, vec![webhook(&task, host)]).await.unwrap();
            tasks.push((task, 1));
        }
        Self {
            rig,
            now: 100_000,
            seen: 0,
            tasks,
            hook,
            held: Default::default(),
            live: BTreeMap::new(),
            taken: BTreeMap::new(),
        }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Say(task) => {
                let (task, after) = &mut self.tasks[task];
                self.rig.say(task, *after, &["status"]).await;
                *after += 1;
            }
            Step::Round(who, take, verdicts) => self.round(who, take, &verdicts).await,
            Step::Lose(who) => self.held[who].clear(),
            Step::Wait(time) => {
                self.now += time;
                // The store brings the ends of claims forward by as much as it has seen the clock go back.
                if self.now < self.seen - 1000 {
                    let back = self.seen - self.now;
                    self.live.values_mut().for_each(|(_, until)| *until -= back);
                    self.seen = self.now;
                    self.round(0, 0, &[]).await;
                }
            }
            Step::Again(which) => {
                let all = self.rig.deliveries().await;
                let id = all[which % all.len()].id;
                self.rig.store.redeliver("me".into(), Redelivery::One(id)).await.unwrap();
            }
            Step::Pause(pause) => {
                let state = Some(if pause { WebhookState::Paused } else { WebhookState::Enabled });
                self.rig
                    .store
                    .update_webhook("me".into(), WebhookChange { state, ..change(&self.hook) })
                    .await
                    .unwrap();
            }
        }
    }

    async fn round(&mut self, who: usize, take: usize, verdicts: &[u8]) {
        self.seen = self.now.max(self.seen);
        let mut results = Vec::new();
        let mut told = Vec::new();
        for verdict in verdicts {
            let Some(claim) = self.held[who].pop() else { break };
            let verdict = match verdict {
                0 | 1 => Verdict::Delivered,
                2 => Verdict::Retry(self.now + 500),
                3 => Verdict::Released,
                _ => Verdict::Retry(self.now),
            };
            results.push(result(&claim, verdict.clone()));
            told.push((claim, verdict));
        }
        let limits = Limits { total: 4, retries: 2, ..limits() };
        let claims = self.rig.dispatch(Round { results, take, limits, ..round(self.now) }).await;
        assert!(claims.claims.len() <= take);
        // The receiver was reached whether or not the result was still wanted.
        let mut refused = 0;
        for (claim, verdict) in told {
            let lane = (claim.delivery.task, claim.delivery.webhook);
            match self.live.get(&lane) {
                Some((ticket, _)) if *ticket == claim.ticket => {
                    self.live.remove(&lane);
                    if verdict == Verdict::Delivered {
                        let taken = self.taken.entry(lane).or_default();
                        assert!(claim.delivery.sequence <= *taken + 1, "one was left out");
                        *taken = (*taken).max(claim.delivery.sequence);
                    }
                }
                _ => refused += 1,
            }
        }
        assert_eq!(claims.refused, refused);
        let now = self.seen;
        self.live.retain(|_, (_, until)| *until > now);
        for claim in claims.claims {
            let lane = (claim.delivery.task, claim.delivery.webhook);
            let before = self.live.insert(lane, (claim.ticket, self.seen + LEASE));
            assert_eq!(before, None, "two live claims of a lane");
            self.held[who].push(claim);
        }
        assert!(self.live.len() <= 4, "more than the limit");
    }

    /// Lets everything be delivered.
    async fn finish(mut self) {
        self.step(Step::Pause(false)).await;
        for _ in 0..500 {
            self.now += LEASE / 3;
            self.round(0, 4, &[0; 8]).await;
            self.round(1, 4, &[0; 8]).await;
            if self.rig.store.backlog().await.unwrap().pending == 0 {
                break;
            }
        }
        assert!(self.rig.states().await.iter().all(|(_, state)| *state == DeliveryState::Delivered));
        for (task, head) in &self.tasks {
            let lanes: Vec<_> = self.taken.iter().filter(|((id, _), _)| *id == task.id).collect();
            assert_eq!(lanes.len(), 2, "a webhook of its own, and the agent's");
            assert!(lanes.iter().all(|(_, taken)| *taken == head));
        }
        assert_eq!(self.rig.rows("lanes").await, 0);
    }
}

fn run(kind: Kind, steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(kind).await;
        for step in steps {
            world.step(step).await;
        }
        world.finish().await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn everything_arrives_in_order_and_no_lane_is_held_twice(steps in prop::collection::vec(step(), 1..60)) {
        run(Kind::Sqlite, steps.clone());
        if database::server().is_some() {
            run(Kind::Postgres, steps);
        }
    }
}
