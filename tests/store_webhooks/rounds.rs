//! Rounds: order within lanes, limits, leases, health.

use super::*;

contract!(a_lane_is_delivered_in_order_one_at_a_time);
async fn a_lane_is_delivered_in_order_one_at_a_time(kind: Kind) {
    let rig = Rig::new(kind).await;
    let task = identity("me", "a");
    rig.create(&task, vec![webhook(&task, "h")]).await.unwrap();
    rig.say(&task, 1, &["status", "artifact", "status"]).await;
    let first = rig.claim(2000).await;
    assert_eq!(sequences(&first), [1]);
    assert_eq!((first[0].number, first[0].tries, first[0].created), (1, 0, CREATED));
    assert!(rig.claim(2000).await.is_empty(), "one attempt at a time");
    // A head that waits holds up the others.
    let claims = rig.dispatch(Round { results: all(&first, &Verdict::Retry(3000)), ..round(2001) }).await;
    assert_eq!((claims.claims.len(), claims.next), (0, Some(3000)));
    rig.say(&task, 4, &["done"]).await;
    assert!(rig.claim(2999).await.is_empty());
    let second = rig.claim(3000).await;
    assert_eq!((sequences(&second), second[0].number, second[0].tries), (vec![1], 2, 1));
    // Given up: the next one is due at once.
    let third = rig.dispatch(Round { results: all(&second, &Verdict::Failed), ..round(3001) }).await.claims;
    assert_eq!((sequences(&third), third[0].number, third[0].tries), (vec![2], 1, 0));
    // Not attempted: nothing is counted.
    let fourth = rig.dispatch(Round { results: all(&third, &Verdict::Released), ..round(3002) }).await.claims;
    assert_eq!((sequences(&fourth), fourth[0].number, fourth[0].tries), (vec![2], 1, 0));
    let mut claims = fourth;
    for expected in [3, 4, 5] {
        claims = rig.dispatch(Round { results: all(&claims, &Verdict::Delivered), ..round(3003) }).await.claims;
        assert_eq!(sequences(&claims), [expected]);
    }
    let end = rig.dispatch(Round { results: all(&claims, &Verdict::Delivered), ..round(3004) }).await;
    assert_eq!((end.claims.len(), end.next, end.refused), (0, None, 0));
    let (failed, delivered) = (DeliveryState::Failed, DeliveryState::Delivered);
    assert_eq!(rig.states().await, [(1, failed), (2, delivered), (3, delivered), (4, delivered), (5, delivered)]);
    let found = rig.deliveries().await;
    let tried: Vec<_> = found[4].attempts.iter().map(|attempt| (attempt.number, attempt.status)).collect();
    assert_eq!((tried, found[4].attempt_count), (vec![(1, 500), (2, 500)], 2));
    assert_eq!(rig.rows("lanes").await, 0);
    rig.say(&task, 5, &["message"]).await;
    assert_eq!(sequences(&rig.claim(3005).await), [6], "a lane begins again");
}

contract!(the_newest_twenty_attempts_are_kept);
async fn the_newest_twenty_attempts_are_kept(kind: Kind) {
    let rig = Rig::new(kind).await;
    let task = identity("me", "a");
    rig.create(&task, vec![webhook(&task, "h")]).await.unwrap();
    let mut claims = rig.claim(2000).await;
    for now in 2001..2026 {
        claims = rig.dispatch(Round { results: all(&claims, &Verdict::Retry(now)), ..round(now) }).await.claims;
    }
    let found = rig.deliveries().await.remove(0);
    assert_eq!(found.attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), Vec::from_iter(6..=25));
    assert_eq!((found.attempt_count, claims[0].number, claims[0].tries), (25, 26, 25));
    assert_eq!(rig.rows("attempts").await, 20);
}

/// Tasks with one webhook each, at an origin each.
async fn hosts(rig: &Rig, hosts: impl IntoIterator<Item = String>) {
    for host in hosts {
        let task = identity("me", "a");
        rig.create(&task, vec![webhook(&task, &host)]).await.unwrap();
    }
}

contract!(limits_hold_over_all_rounds);
async fn limits_hold_over_all_rounds(kind: Kind) {
    let rig = Rig::new(kind).await;
    hosts(&rig, (0..10).map(|n| format!("h-{n}"))).await;
    let limited = |now, limits: Limits, results| Round { limits, results, ..round(now) };
    // Origins that were never tried: half of the unproven.
    let few = || Limits { unproven: 8, ..limits() };
    let first = rig.dispatch(limited(2000, few(), Vec::new())).await.claims;
    assert_eq!(first.len(), 4);
    assert_eq!(rig.dispatch(limited(2000, few(), Vec::new())).await.claims.len(), 0);
    // Those that were reached make room for others.
    let more = rig.dispatch(limited(2001, few(), all(&first, &Verdict::Retry(2500)))).await.claims;
    assert_eq!(more.len(), 4);
    rig.dispatch(limited(2002, few(), all(&more, &Verdict::Retry(2500)))).await;
    let rest = rig.claim(2003).await;
    assert_eq!(rest.len(), 0, "they were claimed by the round before");

    // Later attempts take at most their part; first attempts go on.
    let half = || Limits { retries: 3, total: 5, ..limits() };
    let retries = rig.dispatch(limited(3000, half(), Vec::new())).await.claims;
    assert_eq!((retries.len(), retries.iter().filter(|claim| claim.tries > 0).count()), (3, 3), "two are under way");
    hosts(&rig, ["h-0".to_owned()]).await;
    assert_eq!(rig.dispatch(limited(3001, half(), Vec::new())).await.claims.len(), 0, "no more than that in all");
    let total = Limits { total: 6, ..half() };
    let fresh = rig.dispatch(limited(3001, total, Vec::new())).await.claims;
    assert_eq!((fresh.len(), fresh[0].tries), (1, 0));
}

contract!(an_origin_has_a_limit_and_gives_way_to_others);
async fn an_origin_has_a_limit_and_gives_way_to_others(kind: Kind) {
    let rig = Rig::new(kind).await;
    hosts(&rig, std::iter::repeat_n("crowd".to_owned(), 25)).await;
    let claims = rig.claim(2000).await;
    assert_eq!(claims.len(), 4, "a few until it is known");
    rig.record(2000, all(&claims, &Verdict::Delivered)).await;
    hosts(&rig, ["late".to_owned()]).await;
    let claims = rig.dispatch(Round { take: 4, ..round(2000) }).await;
    let at = |host: &str, claims: &[Claim]| claims.iter().filter(|claim| claim.webhook.url.contains(host)).count();
    assert_eq!((at("crowd", &claims.claims), at("late", &claims.claims)), (3, 1), "both had a turn");
    assert_eq!(claims.next, Some(2000), "more was due than was taken");
    let more = rig.dispatch(round(2000)).await;
    assert_eq!(at("crowd", &more.claims), 5, "eight at a time");
    assert_eq!(more.next, Some(2000 + LEASE));
    let results = all(&more.claims[..2], &Verdict::Delivered);
    let next = rig.dispatch(Round { results, ..round(2001) }).await;
    assert_eq!(at("crowd", &next.claims), 2);
}

contract!(a_slow_receiver_gets_fewer_at_a_time);
async fn a_slow_receiver_gets_fewer_at_a_time(kind: Kind) {
    let rig = Rig::new(kind).await;
    hosts(&rig, std::iter::repeat_n("slow".to_owned(), 20)).await;
    let claims = rig.dispatch(Round { take: 3, ..round(2000) }).await.claims;
    assert_eq!(claims.len(), 3);
    // Two of them take longer than a second: they count as eight, as many as there may be.
    let quick = rig.dispatch(Round { results: all(&claims[..1], &Verdict::Delivered), take: 0, ..round(2500) }).await;
    assert_eq!(quick.claims.len(), 0);
    assert_eq!(rig.claim(3000).await.len(), 0);
    let next = rig.dispatch(Round { results: all(&claims[1..2], &Verdict::Delivered), ..round(3001) }).await;
    assert_eq!(next.claims.len(), 4, "four places are taken by the one that is left");
    let rest = rig.dispatch(Round { results: all(&claims[2..], &Verdict::Delivered), ..round(3002) }).await;
    assert_eq!(rest.claims.len(), 4, "eight at a time");
    let late = all(&next.claims, &Verdict::Delivered);
    assert_eq!(rig.dispatch(Round { results: late, ..round(4002) }).await.claims.len(), 0, "four are slow now");
}

contract!(what_waits_longest_is_first);
async fn what_waits_longest_is_first(kind: Kind) {
    let rig = Rig::new(kind).await;
    for (n, host) in ["a", "b", "a"].into_iter().enumerate() {
        let task = identity("me", "a");
        rig.create(&task, vec![webhook(&task, host)]).await.unwrap();
        let claims = rig.claim(2000).await;
        let due = 3000 - i64::try_from(n).unwrap();
        rig.record(2000, all(&claims, &Verdict::Retry(due))).await;
    }
    let claims = rig.claim(4000).await;
    let order: Vec<_> = claims.iter().map(|claim| claim.webhook.url.as_str()).collect();
    assert_eq!(order, ["https://a/in", "https://b/in", "https://a/in"]);
    assert!(claims[0].delivery.task > claims[2].delivery.task);
}

contract!(a_claim_ends_with_its_lease_and_is_refused_once_another_has_it);
async fn a_claim_ends_with_its_lease_and_is_refused_once_another_has_it(kind: Kind) {
    let rig = Rig::new(kind).await;
    let task = identity("me", "a");
    rig.create(&task, vec![webhook(&task, "h")]).await.unwrap();
    let lost = rig.dispatch(round(2000)).await;
    assert_eq!(lost.next, Some(2000 + LEASE));
    assert!(rig.claim(2000 + LEASE - 1).await.is_empty());
    let second = rig.claim(2000 + LEASE).await;
    assert_eq!((sequences(&second), second[0].number), (vec![1], 1));
    assert_ne!(second[0].ticket, lost.claims[0].ticket);
    let refused = rig.record(2000 + LEASE + 1, all(&lost.claims, &Verdict::Failed)).await;
    assert_eq!(refused.refused, 1);
    assert_eq!(rig.states().await, [(1, DeliveryState::Pending)]);
    // Nobody else had it yet: a late result counts.
    let late = rig.record(2000 + 3 * LEASE, all(&second, &Verdict::Delivered)).await;
    assert_eq!(late.refused, 0);
    assert_eq!(rig.states().await, [(1, DeliveryState::Delivered)]);
    assert_eq!(rig.record(2000 + 3 * LEASE, all(&second, &Verdict::Delivered)).await.refused, 1, "once only");
}

contract!(others_are_told_of_what_a_round_made_due_and_did_not_take);
async fn others_are_told_of_what_a_round_made_due_and_did_not_take(kind: Kind) {
    let rig = Rig::new(kind).await;
    let task = identity("me", "a");
    rig.create(&task, vec![webhook(&task, "h")]).await.unwrap();
    rig.say(&task, 1, &["status", "status"]).await;
    let first = rig.claim(2000).await;
    rig.heard();
    let second = rig.dispatch(Round { results: all(&first, &Verdict::Delivered), ..round(2001) }).await.claims;
    assert_eq!((second.len(), rig.heard()), (1, 0), "it took the next itself");
    rig.record(2002, all(&second, &Verdict::Delivered)).await;
    assert_eq!(rig.heard(), 1);
    let third = rig.claim(2003).await;
    rig.record(2004, all(&third, &Verdict::Retry(9000))).await;
    assert_eq!(rig.heard(), 0, "what is due later is told by the round");
}

contract!(the_gateways_own_failures_do_not_make_a_webhook_failing);
async fn the_gateways_own_failures_do_not_make_a_webhook_failing(kind: Kind) {
    let rig = Rig::new(kind).await;
    let task = identity("me", "a");
    let hook = webhook(&task, "h");
    rig.create(&task, vec![hook.clone()]).await.unwrap();
    rig.say(&task, 1, &["status"]).await;
    let mut claims = rig.claim(2000).await;
    for (now, blame, since) in [(3000, false, None), (4000, true, Some(4000)), (5000, false, Some(4000))] {
        let result = Attempted { blame, ..result(&claims[0], Verdict::Retry(now)) };
        claims = rig.dispatch(Round { results: vec![result], ..round(now) }).await.claims;
        let health = rig.reload(&hook).await.health;
        assert_eq!((health.failing_since, health.last_failure), (since, Some(now)));
    }
}

contract!(health_follows_results);
async fn health_follows_results(kind: Kind) {
    let rig = Rig::new(kind).await;
    let task = identity("me", "a");
    let hook = webhook(&task, "h");
    rig.create(&task, vec![hook.clone()]).await.unwrap();
    rig.say(&task, 1, &["status", "status", "status"]).await;
    let mut claims = rig.claim(2000).await;
    let mut step = async |now, verdict| {
        claims = rig.dispatch(Round { results: all(&claims, &verdict), ..round(now) }).await.claims;
        rig.reload(&hook).await.health
    };
    let health = step(3000, Verdict::Retry(3000)).await;
    let expected = Health {
        failing_since: Some(3000),
        last_success: None,
        last_failure: Some(3000),
        last_error: "answered 500".into(),
    };
    assert_eq!(health, expected);
    let health = step(4000, Verdict::Retry(4000)).await;
    assert_eq!((health.failing_since, health.last_failure), (Some(3000), Some(4000)));
    let health = step(5000, Verdict::Delivered).await;
    assert_eq!((health.failing_since, health.last_success), (None, Some(5000)));
    let health = step(6000, Verdict::Delivered).await;
    assert_eq!(health.last_success, Some(5000), "written every few seconds");
    let health = step(10_000, Verdict::Delivered).await;
    assert_eq!(health.last_success, Some(10_000));
}

contract!(a_webhook_is_disabled_for_failing_only_if_it_has_been_failing_since_the_claim);
async fn a_webhook_is_disabled_for_failing_only_if_it_has_been_failing_since_the_claim(kind: Kind) {
    let rig = Rig::new(kind).await;
    let task = identity("me", "a");
    let hook = webhook(&task, "h");
    rig.create(&task, vec![hook.clone()]).await.unwrap();
    let disable = Verdict::Disable(WebhookState::Failing);
    let mut now = 10_000;
    let mut claims = rig.claim(now).await;
    claims = rig.dispatch(Round { results: all(&claims, &Verdict::Retry(now)), ..round(now) }).await.claims;
    // It was enabled anew meanwhile, once before it failed again and once after.
    for fails_again in [false, true] {
        let state = Some(WebhookState::Enabled);
        rig.store.update_webhook("me".into(), WebhookChange { state, ..change(&hook) }).await.unwrap();
        now += 1;
        if fails_again {
            rig.meddle(&format!("UPDATE webhooks SET failing_since = {now}")).await;
        }
        let round = rig.dispatch(Round { results: all(&claims, &disable), ..round(now) }).await;
        assert_eq!((round.claims.len(), round.next), (0, Some(now + 10_000)));
        assert_eq!(
            (rig.states().await, rig.reload(&hook).await.state),
            (vec![(1, DeliveryState::Pending)], hook.state)
        );
        now += 10_000;
        claims = rig.claim(now).await;
    }
    rig.record(now, all(&claims, &disable)).await;
    assert_eq!(rig.states().await, [(1, DeliveryState::Failed)]);
    assert_eq!(rig.reload(&hook).await.state, WebhookState::Failing);
}

contract!(the_backlog_is_what_waits_and_what_was_given_up);
async fn the_backlog_is_what_waits_and_what_was_given_up(kind: Kind) {
    let rig = Rig::new(kind).await;
    let task = identity("me", "a");
    assert_eq!(rig.store.backlog().await.unwrap(), a2a_gateway::store::Backlog::default());
    rig.create(&task, vec![webhook(&task, "h")]).await.unwrap();
    rig.say(&task, 1, &["status", "status"]).await;
    let claims = rig.claim(2000).await;
    rig.record(2000, all(&claims, &Verdict::Failed)).await;
    let backlog = rig.store.backlog().await.unwrap();
    assert_eq!((backlog.pending, backlog.failed, backlog.oldest), (2, 1, Some(CREATED + 1)));
    // The lane that is longest there need not have the oldest event, and one is as old as its first.
    let other = identity("me", "a");
    let second = webhook(&other, "h");
    rig.create(&other, vec![second.clone()]).await.unwrap();
    let oldest = async || rig.store.backlog().await.unwrap().oldest;
    assert_eq!(oldest().await, Some(CREATED));
    let state = Some(WebhookState::Paused);
    rig.store.update_webhook("me".into(), WebhookChange { state, ..change(&second) }).await.unwrap();
    assert_eq!(oldest().await, Some(CREATED + 1), "what is paused is not late");
    rig.store.redeliver("me".into(), a2a_gateway::store::Redelivery::One(claims[0].delivery)).await.unwrap();
    assert_eq!(oldest().await, Some(CREATED));
}
