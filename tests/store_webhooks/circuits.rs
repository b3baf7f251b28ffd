//! Circuits: origins that are not reached get one probe at a time, each later than the one before.

use super::*;

fn unreached(claims: &[Claim], due: i64) -> Vec<Attempted> {
    let results = all(claims, &Verdict::Retry(due));
    results.into_iter().map(|result| Attempted { reached: Some(false), ..result }).collect()
}

async fn crowd(rig: &Rig, count: usize) {
    for _ in 0..count {
        let task = identity("me", "a");
        rig.create(&task, vec![webhook(&task, "dead")]).await.unwrap();
    }
}

contract!(an_origin_that_is_not_reached_gets_single_probes_until_it_is);
async fn an_origin_that_is_not_reached_gets_single_probes_until_it_is(kind: Kind) {
    let rig = Rig::new(kind).await;
    crowd(&rig, 12).await;
    let first = rig.claim(2000).await;
    assert_eq!(first.len(), 4, "a few until it is known");
    let mut claims = rig.dispatch(Round { results: all(&first, &Verdict::Delivered), ..round(2000) }).await.claims;
    // What fails together counts once: a receiver that restarts breaks off all that it has.
    for _ in 0..2 {
        assert_eq!(claims.len(), 8);
        claims = rig.dispatch(Round { results: unreached(&claims, 2000), ..round(2000) }).await.claims;
        assert_eq!(rig.store.backlog().await.unwrap().open_circuits, 0);
    }
    // The circuit opens once, for as long as it does first.
    let opened = rig.dispatch(Round { results: unreached(&claims, 2000), ..round(2000) }).await;
    assert_eq!((opened.claims.len(), opened.next), (0, Some(3000)));
    assert_eq!(rig.store.backlog().await.unwrap().open_circuits, 1);
    crowd(&rig, 1).await;
    assert!(rig.claim(2999).await.is_empty(), "new deliveries wait as well");
    let (mut now, mut open) = (3000, 1000);
    for _ in 0..4 {
        let probe = rig.claim(now).await;
        assert_eq!(probe.len(), 1, "at {now}");
        assert!(rig.claim(now).await.is_empty(), "one at a time");
        open = (open * 2).min(4000);
        let failed = rig.dispatch(Round { results: unreached(&probe, now), ..round(now) }).await;
        assert_eq!((failed.claims.len(), failed.next), (0, Some(now + open)));
        assert!(rig.claim(now + open - 1).await.is_empty());
        now += open;
    }
    // A probe of which nothing is known changes nothing.
    let probe = rig.claim(now).await;
    let again = rig.dispatch(Round { results: all(&probe, &Verdict::Released), ..round(now) }).await.claims;
    assert_eq!(again.len(), 1);
    // Reached, even by a refusal: all of them go on.
    let closed = rig.dispatch(Round { results: all(&again, &Verdict::Retry(now)), ..round(now) }).await.claims;
    assert_eq!(closed.len(), 8);
    assert_eq!(rig.store.backlog().await.unwrap().open_circuits, 0);
}

contract!(failures_in_a_row_open_a_circuit_and_answers_begin_anew);
async fn failures_in_a_row_open_a_circuit_and_answers_begin_anew(kind: Kind) {
    let rig = Rig::new(kind).await;
    crowd(&rig, 1).await;
    let mut claims = rig.claim(2000).await;
    for reached in [false, false, true, false, false] {
        let results = if reached { all(&claims, &Verdict::Retry(2000)) } else { unreached(&claims, 2000) };
        claims = rig.dispatch(Round { results, ..round(2000) }).await.claims;
        assert_eq!(claims.len(), 1);
    }
    claims = rig.dispatch(Round { results: unreached(&claims, 2000), ..round(2000) }).await.claims;
    assert_eq!(claims.len(), 0);
    // It is still open after a restart.
    let rig = rig.again().await;
    assert!(rig.claim(2999).await.is_empty());
    assert_eq!(rig.claim(3000).await.len(), 1);
}

contract!(dead_origins_leave_room_for_live_ones);
async fn dead_origins_leave_room_for_live_ones(kind: Kind) {
    let rig = Rig::new(kind).await;
    let limits = Limits { total: 8, retries: 4, unproven: 4, ..limits() };
    let go = |now, results| Round { results, limits: limits.clone(), ..round(now) };
    let live = identity("me", "a");
    rig.create(&live, vec![webhook(&live, "live")]).await.unwrap();
    let claims = rig.dispatch(go(2000, Vec::new())).await.claims;
    rig.dispatch(go(2000, all(&claims, &Verdict::Delivered))).await;
    for n in 0..50 {
        let task = identity("me", "a");
        rig.create(&task, vec![webhook(&task, &format!("dead-{n}"))]).await.unwrap();
    }
    let mut dead = rig.dispatch(go(2001, Vec::new())).await.claims;
    assert_eq!(dead.len(), 2, "a part of the room is for origins that were never tried");
    for after in 1..20 {
        rig.say(&live, after, &["status"]).await;
        let now = 2001 + after.cast_signed() * 10_000;
        let claims = rig.dispatch(go(now, unreached(&dead, now))).await.claims;
        let (alive, others): (Vec<_>, Vec<_>) = claims.into_iter().partition(|claim| claim.delivery.task == live.id);
        assert_eq!(sequences(&alive), [after + 1], "at once, whatever is due for the others");
        rig.dispatch(go(now, all(&alive, &Verdict::Delivered))).await;
        dead = others;
    }
}

/// Twenty origins that were tried once and are to be tried again at 3000, two of them under way; then one that is live.
async fn crowded(rig: &Rig, limits: &Limits) -> Arc<Identity> {
    let go = |now, results| Round { results, limits: limits.clone(), ..round(now) };
    let live = identity("me", "a");
    rig.create(&live, vec![webhook(&live, "live")]).await.unwrap();
    let claims = rig.dispatch(go(2000, Vec::new())).await.claims;
    rig.dispatch(go(2000, all(&claims, &Verdict::Delivered))).await;
    for n in 0..20 {
        let task = identity("me", "a");
        rig.create(&task, vec![webhook(&task, &format!("dead-{n}"))]).await.unwrap();
    }
    let mut dead = rig.dispatch(go(2001, Vec::new())).await.claims;
    while !dead.is_empty() {
        assert_eq!(dead.len(), 2);
        dead = rig.dispatch(go(2001, unreached(&dead, 3000))).await.claims;
    }
    assert_eq!(rig.dispatch(go(3000, Vec::new())).await.claims.len(), 2);
    live
}

contract!(neither_a_new_origin_nor_one_that_stumbles_waits_behind_dead_ones);
async fn neither_a_new_origin_nor_one_that_stumbles_waits_behind_dead_ones(kind: Kind) {
    let rig = Rig::new(kind).await;
    let limits = Limits { total: 8, retries: 8, unproven: 4, ..limits() };
    let go = |now, results| Round { results, limits: limits.clone(), ..round(now) };
    let live = crowded(&rig, &limits).await;
    let new = identity("me", "a");
    rig.create(&new, vec![webhook(&new, "new")]).await.unwrap();
    let claims = rig.dispatch(go(3001, Vec::new())).await.claims;
    assert_eq!(claims.iter().map(|claim| claim.delivery.task).collect::<Vec<_>>(), [new.id]);
    assert!(!claims[0].proven);
    // It restarts while two attempts are under way: it is no less live for that.
    let other = identity("me", "a");
    rig.create(&other, vec![webhook(&other, "live")]).await.unwrap();
    rig.say(&live, 1, &["status"]).await;
    let stumbles = rig.dispatch(go(3002, Vec::new())).await.claims;
    assert_eq!(stumbles.iter().filter(|claim| claim.proven).count(), 2);
    let mut again = stumbles;
    for _ in 0..2 {
        again = rig.dispatch(go(3003, unreached(&again, 3003))).await.claims;
        assert_eq!(again.iter().filter(|claim| claim.proven).count(), 2, "{again:?}");
    }
    // Until its circuit opens: then it has its turn among those that are not reached.
    assert!(rig.dispatch(go(3004, unreached(&again, 3004))).await.claims.is_empty());
    assert!(rig.dispatch(go(5000, Vec::new())).await.claims.is_empty());
}

contract!(an_origin_that_was_reached_long_ago_is_tried_at_once_and_dead_once_that_fails);
async fn an_origin_that_was_reached_long_ago_is_tried_at_once_and_dead_once_that_fails(kind: Kind) {
    const LONG: i64 = 600_001;
    let rig = Rig::new(kind).await;
    let limits = Limits { total: 8, retries: 8, unproven: 4, ..limits() };
    let go = |now, results| Round { results, limits: limits.clone(), ..round(now) };
    let lease = Duration::from_secs(3600);
    let live = crowded(&rig, &limits).await;
    // The two that are under way keep the room of the dead.
    let dead = Round { lease, ..go(3000 + LEASE, Vec::new()) };
    assert_eq!(rig.dispatch(dead).await.claims.len(), 2);
    rig.say(&live, 1, &["status", "status"]).await;
    let claims = rig.dispatch(go(2000 + LONG, Vec::new())).await.claims;
    assert_eq!((sequences(&claims), claims[0].proven), (vec![2], true), "idle is not dead");
    let claims = rig.dispatch(go(2000 + LONG, unreached(&claims, 0))).await.claims;
    assert!(claims.is_empty());
    let limits = Limits { unproven: 8, ..limits };
    let mut claims = rig.dispatch(Round { limits: limits.clone(), ..go(2001 + LONG, Vec::new()) }).await.claims;
    claims.retain(|claim| claim.delivery.task == live.id);
    assert_eq!(claims.iter().map(|claim| claim.proven).collect::<Vec<_>>(), [false], "what waits longest is first");
    // Reached, it is live again.
    let results = all(&claims, &Verdict::Delivered);
    let claims = rig.dispatch(Round { limits, ..go(2002 + LONG, results) }).await.claims;
    assert!(claims.iter().any(|claim| claim.delivery.task == live.id && claim.proven));
}
