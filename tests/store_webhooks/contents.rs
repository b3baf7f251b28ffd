//! What deliveries are about is read from the log.

use a2a_gateway::{
    store::{Content, Wanted},
    task::apply,
};
use bytes::Bytes;
use prost::Message as _;

use super::*;

async fn read(rig: &Rig, task: TaskId, sequence: u64, fold: bool) -> Option<Content> {
    rig.store.contents(vec![Wanted { task, sequence, fold }]).await.unwrap().remove(0)
}

fn folded(task: &Identity, kinds: &[&str]) -> Task {
    let mut all = Task::default();
    apply(&mut all, &submitted(task));
    for (sequence, kind) in (2..).zip(kinds) {
        apply(&mut all, &event(task, sequence, kind));
    }
    all
}

contract!(events_and_the_task_as_of_them_are_read_whatever_was_folded_since);
async fn events_and_the_task_as_of_them_are_read_whatever_was_folded_since(kind: Kind) {
    let rig = Rig::new(kind).await;
    let task = rig.task().await;
    let kinds = ["status", "artifact", "artifact", "message", "status", "artifact", "done"];
    rig.say(&task, 1, &kinds[..2]).await;
    let snapshot = Some(Bytes::from(folded(&task, &kinds[..5]).encode_to_vec()));
    rig.store.append(Append { snapshot, ..append(&task, 3, &kinds[2..5]) }).await.unwrap();
    rig.say(&task, 6, &kinds[5..]).await;
    for sequence in 1..=8 {
        let content = read(&rig, task.id, sequence, true).await.unwrap();
        assert_eq!((content.event.sequence, &content.identity), (sequence, &task));
        let upto = usize::try_from(sequence).unwrap() - 1;
        assert_eq!(content.task.unwrap(), folded(&task, &kinds[..upto]), "as of {sequence}");
        if let Some(kind) = upto.checked_sub(1).map(|index| kinds[index]) {
            assert_eq!(content.event.bytes(), event(&task, sequence, kind).bytes());
        }
        assert!(read(&rig, task.id, sequence, false).await.unwrap().task.is_none());
    }
    let wanted = |task, sequence| Wanted { task, sequence, fold: true };
    let several = vec![wanted(task.id, 0), wanted(task.id, 2), wanted(task.id, 9), wanted(TaskId::mint(), 1)];
    let found = rig.store.contents(several).await.unwrap();
    let found: Vec<_> = found.iter().map(|found| found.as_ref().map(|content| content.event.sequence)).collect();
    assert_eq!(found, [None, Some(2), None, None]);
}

contract!(where_the_log_was_trimmed_the_status_is_still_that_of_the_event);
async fn where_the_log_was_trimmed_the_status_is_still_that_of_the_event(kind: Kind) {
    let rig = Rig::new(kind).await;
    let task = rig.task().await;
    let kinds = ["status", "artifact", "status", "artifact", "done"];
    for (after, kind) in (1..).zip(&kinds[..4]) {
        rig.say(&task, after, &[*kind]).await;
    }
    let snapshot = Some(Bytes::from(folded(&task, &kinds).encode_to_vec()));
    let trimmed = Append { snapshot, trim_to: Some(2), ..append(&task, 5, &["done"]) };
    rig.store.append(trimmed).await.unwrap();
    assert!(read(&rig, task.id, 2, true).await.is_none());
    for sequence in 3..=6 {
        let content = read(&rig, task.id, sequence, true).await.unwrap();
        let (status, event) = (content.task.unwrap().status.unwrap(), content.event);
        assert_eq!(status.state(), event.state, "as of {sequence}");
        let said = status.message.map(|message| message.parts);
        let expected = [None, Some(4), Some(4), Some(6)][usize::try_from(sequence).unwrap() - 3];
        assert_eq!(said, expected.map(|sequence| vec![text(sequence)]), "as of {sequence}");
    }
}

contract!(what_cannot_be_read_does_not_keep_back_the_others);
async fn what_cannot_be_read_does_not_keep_back_the_others(kind: Kind) {
    let rig = Rig::new(kind).await;
    let (damaged, odd, whole) = (rig.task().await, rig.task().await, rig.task().await);
    let damage = if kind == Kind::Sqlite { "x'ff'" } else { "'\\xff'" };
    let first = "position = (SELECT min(position) FROM segments)";
    rig.meddle(&format!("UPDATE segments SET data = {damage} WHERE {first}")).await;
    rig.meddle("UPDATE segments SET first = -1 WHERE task = 2").await;
    let wanted = [&damaged, &odd, &whole].map(|task| Wanted { task: task.id, sequence: 1, fold: true });
    let found = rig.store.contents(wanted.into()).await.unwrap();
    assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [false, false, true]);
}
