//! Receivers that accept and stay silent, by the hundred: what answers does not wait for them.

use super::*;

/// Some time of a store with receivers of which some answer each claim at once, and all others never.
struct Street {
    rig: Rig,
    limits: Limits,
    now: i64,
    under_way: usize,
}

impl Street {
    async fn new(kind: Kind, limits: Limits) -> Self {
        Self { rig: Rig::new(kind).await, limits, now: 2000, under_way: 0 }
    }

    async fn task(&self, host: &str) -> Arc<Identity> {
        let task = identity("me", "a");
        self.rig.create(&task, vec![webhook(&task, host)]).await.unwrap();
        task
    }

    /// A round. Returns what it claimed for a receiver that answers, which has answered then; the rest stays under way.
    async fn round(&mut self, answers: impl Fn(&Claim) -> bool) -> Vec<Claim> {
        let go = |results| Round { results, limits: self.limits.clone(), ..round(self.now) };
        let claims = self.rig.dispatch(go(Vec::new())).await.claims;
        let (answered, silent): (Vec<_>, Vec<_>) = claims.into_iter().partition(|claim| answers(claim));
        self.rig.dispatch(Round { take: 0, ..go(all(&answered, &Verdict::Delivered)) }).await;
        self.under_way += silent.len();
        assert!(self.under_way <= self.limits.total + self.limits.slow);
        answered
    }

    /// Tasks with a receiver each, which answer for now.
    async fn alive(&mut self, name: &str, count: usize) -> Vec<Arc<Identity>> {
        let mut tasks = Vec::new();
        for number in 0..count {
            tasks.push(self.task(&format!("{name}-{number}")).await);
        }
        let mut answered = 0;
        while answered < count {
            answered += self.round(|_| true).await.len();
        }
        tasks
    }

    /// How long each of a task's events waits for its turn, of one after the other until a time.
    async fn waits(&mut self, task: &Arc<Identity>, until: i64) -> Vec<i64> {
        let (mut waits, mut sequence, mut said) = (Vec::new(), 1, None);
        while self.now < until {
            self.now += 50;
            if said.is_none() {
                self.rig.say(task, sequence, &["status"]).await;
                sequence += 1;
                said = Some(self.now);
            }
            if !self.round(|claim| claim.delivery.task == task.id).await.is_empty() {
                waits.extend(said.take().map(|said| self.now - said));
            }
        }
        waits
    }
}

fn places() -> Limits {
    Limits { total: 32, slow: 640, retries: 16, unproven: 8, ..limits() }
}

contract!(receivers_that_fall_silent_together_do_not_delay_one_that_answers);
async fn receivers_that_fall_silent_together_do_not_delay_one_that_answers(kind: Kind) {
    let mut street = Street::new(kind, places()).await;
    let silent = street.alive("silent", 200).await;
    let live = street.alive("live", 1).await.remove(0);
    for task in &silent {
        street.rig.say(task, 1, &["status"]).await;
    }
    let waits = street.waits(&live, 15_000).await;
    assert!(waits.iter().all(|wait| *wait <= 1000), "{waits:?}");
    assert!(waits.len() > 100, "{waits:?}");
    assert_eq!(street.under_way, 200, "each of them has its attempt");
}

contract!(what_answers_goes_on_when_all_places_of_the_slow_are_taken);
async fn what_answers_goes_on_when_all_places_of_the_slow_are_taken(kind: Kind) {
    let mut street = Street::new(kind, Limits { slow: 40, ..places() }).await;
    let silent = street.alive("silent", 200).await;
    street.now += 10_000;
    let live = street.alive("live", 1).await.remove(0);
    for task in &silent {
        street.rig.say(task, 1, &["status"]).await;
    }
    let waits = street.waits(&live, 30_000).await;
    assert!(waits[20..].iter().all(|wait| *wait == 0), "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= 1000), "{waits:?}");
    // Three quarters of the slow places, and half of the quick ones.
    assert_eq!(street.under_way, 30 + 16);
}

contract!(a_new_receiver_does_not_wait_for_all_the_silent_ones_that_are_new_as_well);
async fn a_new_receiver_does_not_wait_for_all_the_silent_ones_that_are_new_as_well(kind: Kind) {
    let mut street = Street::new(kind, places()).await;
    for number in 0..200 {
        street.task(&format!("silent-{number}")).await;
    }
    for _ in 0..10 {
        street.round(|_| false).await;
        street.now += 100;
        let live = street.task(&format!("live-{}", street.now)).await;
        let (begun, before) = (street.now, street.under_way);
        while street.round(|claim| claim.delivery.task == live.id).await.is_empty() {
            street.now += 100;
            assert!(street.now - begun <= 1500, "{before} under way");
        }
    }
}

contract!(one_place_at_a_time_goes_to_the_oldest_and_to_the_newest_in_turns);
async fn one_place_at_a_time_goes_to_the_oldest_and_to_the_newest_in_turns(kind: Kind) {
    let rig = Rig::new(kind).await;
    let limits = Limits { unproven: 2, ..limits() };
    let go = |results| Round { results, limits: limits.clone(), ..round(3000) };
    for number in 0..100 {
        // Due one after the other.
        rig.dispatch(Round { take: 0, ..round(2000 + number) }).await;
        let task = identity("me", "a");
        rig.create(&task, vec![webhook(&task, &format!("h-{number}"))]).await.unwrap();
    }
    let mut claims = rig.dispatch(go(Vec::new())).await.claims;
    let (mut oldest, mut newest) = (0, 0);
    for _ in 0..20 {
        assert_eq!(claims.len(), 1);
        let url = &claims[0].webhook.url;
        if *url == format!("https://h-{oldest}/in") {
            oldest += 1;
        } else {
            newest += 1;
            assert_eq!(*url, format!("https://h-{}/in", 100 - newest));
        }
        let failed = Attempted { reached: Some(false), ..result(&claims[0], Verdict::Retry(i64::MAX / 2)) };
        claims = rig.dispatch(go(vec![failed])).await.claims;
    }
    assert_eq!((oldest, newest), (10, 10));
}

contract!(what_the_limits_keep_back_is_looked_at_again_soon_and_else_nothing_is);
async fn what_the_limits_keep_back_is_looked_at_again_soon_and_else_nothing_is(kind: Kind) {
    let rig = Rig::new(kind).await;
    let limits = Limits { unproven: 4, ..places() };
    let go = |now| Round { limits: limits.clone(), ..round(now) };
    for number in 0..3 {
        let task = identity("me", "a");
        rig.create(&task, vec![webhook(&task, &format!("h-{number}"))]).await.unwrap();
    }
    let first = rig.dispatch(go(2000)).await;
    assert_eq!((first.claims.len(), first.next), (2, Some(2100)));
    let second = rig.dispatch(go(2400)).await;
    assert_eq!((second.claims.len(), second.next), (0, Some(2500)));
    let third = rig.dispatch(go(2500)).await;
    assert_eq!((third.claims.len(), third.next), (1, Some(2000 + LEASE)), "they are slow now");
}
