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

#[tokio::test]
async fn an_origin_that_is_not_reached_gets_single_probes_until_it_is() {
    let rig = Rig::new();
    crowd(&rig, 10).await;
    let first = rig.claim(2000).await;
    assert_eq!(first.len(), 8);
    // All that were under way fail: the circuit opens once, for as long as it does first.
    let opened = rig.dispatch(Round { results: unreached(&first, 2000), ..round(2000) }).await;
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

#[tokio::test]
async fn failures_in_a_row_open_a_circuit_and_answers_begin_anew() {
    let rig = Rig::new();
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

#[tokio::test]
async fn dead_origins_leave_room_for_live_ones() {
    let rig = Rig::new();
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
    assert_eq!(dead.len(), 4, "half of the room is kept for origins that are known to be reached");
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

#[tokio::test]
async fn neither_a_new_origin_nor_one_that_stumbled_once_waits_behind_dead_ones() {
    let rig = Rig::new();
    let limits = Limits { total: 8, retries: 8, unproven: 4, ..limits() };
    let go = |now, results| Round { results, limits: limits.clone(), ..round(now) };
    let live = identity("me", "a");
    rig.create(&live, vec![webhook(&live, "live")]).await.unwrap();
    let claims = rig.dispatch(go(2000, Vec::new())).await.claims;
    rig.dispatch(go(2000, all(&claims, &Verdict::Delivered))).await;
    for n in 0..20 {
        let task = identity("me", "a");
        rig.create(&task, vec![webhook(&task, &format!("dead-{n}"))]).await.unwrap();
    }
    // Each dead one has failed once; half of what is not for reached ones is under way again.
    let mut dead = rig.dispatch(go(2001, Vec::new())).await.claims;
    for now in 2001..2006 {
        dead = rig.dispatch(go(now, unreached(&dead, 3000))).await.claims;
    }
    assert!(dead.is_empty(), "all have been tried: {dead:?}");
    assert_eq!(rig.dispatch(go(3000, Vec::new())).await.claims.len(), 2);

    let new = identity("me", "a");
    rig.create(&new, vec![webhook(&new, "new")]).await.unwrap();
    let claims = rig.dispatch(go(3001, Vec::new())).await.claims;
    assert_eq!(claims.iter().map(|claim| claim.delivery.task).collect::<Vec<_>>(), [new.id]);
    rig.say(&live, 1, &["status"]).await;
    let stumbles = rig.dispatch(go(3002, Vec::new())).await.claims;
    assert_eq!(stumbles[0].delivery.task, live.id);
    let again = rig.dispatch(go(3003, unreached(&stumbles, 3003))).await.claims;
    assert_eq!(again.iter().map(|claim| claim.delivery.task).collect::<Vec<_>>(), [live.id]);
    // Twice is no accident.
    assert!(rig.dispatch(go(3004, unreached(&again, 3004))).await.claims.is_empty());
}
