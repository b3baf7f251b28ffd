//! Restarts, and clocks that are set back and forth.

use super::*;

async fn retried_at(rig: &Rig, host: &str, now: i64, due: i64) {
    let task = identity("me", "a");
    rig.create(&task, vec![webhook(&task, host)]).await.unwrap();
    let claims = rig.claim(now).await;
    assert_eq!(claims.len(), 1);
    rig.record(now, all(&claims, &Verdict::Retry(due))).await;
}

contract!(a_restart_keeps_everything_and_ends_claims);
async fn a_restart_keeps_everything_and_ends_claims(kind: Kind) {
    let rig = Rig::new(kind).await;
    let task = identity("me", "a");
    let limits = Limits { per_origin: 1, ..limits() };
    let hook = webhook(&task, "one");
    rig.create(&task, vec![hook.clone(), webhook(&task, "two"), webhook(&task, "one")]).await.unwrap();
    rig.say(&task, 1, &["status"]).await;
    let claims = rig.dispatch(Round { limits: limits.clone(), ..round(2000) }).await.claims;
    assert_eq!(claims.len(), 2);
    rig.record(2001, all(&claims[..1], &Verdict::Retry(5000))).await;
    let before = rig.deliveries().await;
    let rig = rig.again().await;
    assert_eq!(rig.deliveries().await.len(), before.len());
    assert_eq!(rig.deliveries().await.iter().map(|found| found.attempt_count).sum::<u32>(), 1);
    // The process that had the other claim is dead: it is due at once, and so is what an origin had no room for.
    let again = rig.dispatch(Round { limits, ..round(2002) }).await.claims;
    assert_eq!(sequences(&again), [1, 1]);
    assert!(again.iter().all(|claim| claim.tries == 0 && !claims.iter().any(|old| old.ticket == claim.ticket)));
    assert_eq!(rig.record(2003, all(&claims[1..], &Verdict::Failed)).await.refused, 1);
    assert_eq!(rig.reload(&hook).await.state, WebhookState::Enabled);
    // Webhooks of agents are known again.
    rig.store.put_webhook(of_agent("me", "b", "three")).await.unwrap();
    let rig = rig.again().await;
    let other = rig.task_of("me", "b", Vec::new()).await;
    assert!(rig.claim(2004).await.iter().any(|claim| claim.delivery.task == other.id));
}

contract!(a_clock_set_back_brings_what_waits_forward_by_as_much);
async fn a_clock_set_back_brings_what_waits_forward_by_as_much(kind: Kind) {
    const HOUR: i64 = 3_600_000;
    for restart in [false, true] {
        let rig = Rig::new(kind).await;
        let now = 100 * HOUR;
        retried_at(&rig, "one", now, now + 10_000).await;
        let open: Vec<_> = [1, 2, 3].into();
        let task = identity("me", "a");
        rig.create(&task, vec![webhook(&task, "dead")]).await.unwrap();
        let mut claims = rig.claim(now).await;
        for _ in &open {
            let mut results = all(&claims, &Verdict::Retry(now));
            results[0].reached = Some(false);
            claims = rig.dispatch(Round { results, ..round(now) }).await.claims;
        }
        let leased = identity("me", "a");
        rig.create(&leased, vec![webhook(&leased, "leased")]).await.unwrap();
        assert_eq!(rig.claim(now).await.len(), 1);
        let rig = if restart { rig.again().await } else { rig };

        // The probe would be due after a second, the lease end after thirty, the retry after ten.
        let back = now - HOUR;
        let early = rig.dispatch(round(back)).await;
        assert_eq!(early.claims.len(), usize::from(restart), "a restart ends the claim");
        // The time is noted once a second: this much is what a restart may lose.
        assert_eq!(early.next, Some(back + 1000));
        let probe = rig.claim(back + 1000).await;
        assert!(probe.iter().all(|claim| claim.webhook.url.contains("dead")) && probe.len() == 1);
        let later = rig.claim(back + 10_000).await;
        assert!(later.iter().any(|claim| claim.webhook.url.contains("one")));
        // A task that is new meanwhile is due at once, though its event's time may be ahead of the clock.
        let task = identity("me", "a");
        rig.create(&task, vec![webhook(&task, "new")]).await.unwrap();
        assert_eq!(rig.claim(back + 10_001).await.len(), 1);
        // Forth again: all that is due is claimed, claims of before end.
        assert_eq!(rig.claim(now + HOUR).await.len(), 4);
    }
}

contract!(rounds_that_overtake_each_other_move_nothing);
async fn rounds_that_overtake_each_other_move_nothing(kind: Kind) {
    let rig = Rig::new(kind).await;
    retried_at(&rig, "one", 10_000, 12_000).await;
    let round = rig.dispatch(round(9_500)).await;
    assert_eq!((round.claims.len(), round.next), (0, Some(12_000)));
    assert_eq!(rig.claim(12_000).await.len(), 1);
}

contract!(claims_hold_as_much_longer_as_the_clock_was_set_forward);
async fn claims_hold_as_much_longer_as_the_clock_was_set_forward(kind: Kind) {
    const DAY: i64 = 86_400_000;
    let rig = Rig::new(kind).await;
    let task = identity("me", "a");
    rig.create(&task, vec![webhook(&task, "h")]).await.unwrap();
    let claims = rig.claim(2000).await;
    let jumped = |jumped, now| Round { jumped, ..round(now) };
    let forward = rig.dispatch(jumped(DAY, 3000 + DAY)).await;
    assert_eq!((forward.claims.len(), forward.next), (0, Some(2000 + LEASE + DAY)));
    // Another dispatcher tells of the same.
    let forward = rig.dispatch(jumped(DAY, 3000 + DAY)).await;
    assert_eq!(forward.next, Some(2000 + LEASE + DAY));
    assert_eq!(rig.dispatch(jumped(0, 2000 + LEASE + DAY)).await.claims.len(), 1, "it ends all the same");
    assert_eq!(rig.record(2000 + LEASE + DAY, all(&claims, &Verdict::Delivered)).await.refused, 1);
}

contract!(a_clock_set_back_by_less_than_nothing_happened_for_counts_too);
async fn a_clock_set_back_by_less_than_nothing_happened_for_counts_too(kind: Kind) {
    let rig = Rig::new(kind).await;
    retried_at(&rig, "one", 10_000, 7_200_000).await;
    // An hour passed without a round, then the clock was set back by half an hour.
    let back = Round { jumped: -1_800_000, ..round(1_810_000) };
    assert_eq!(rig.dispatch(back).await.next, Some(5_400_000));
    assert_eq!(rig.claim(5_400_000).await.len(), 1);
}
