//! 0.3's gRPC binding as it is served: answers and events from 1.0. Requests are read by [`super::decode`].

use bytes::Bytes;
use prost::Message as _;

use super::{FileBytes, encode};
use crate::{
    proto::{
        a2a::{Task, send_message_response},
        a2a_v03 as v03,
    },
    task::{Event, Form},
    wire::encode::{is_shown, view::ends_stream},
};

/// What files are written as: what two of the three SDKs read.
const FILES: FileBytes = FileBytes::Base64Text;

/// A task.
pub fn task(task: Task) -> v03::Task {
    encode::task(task, FILES)
}

/// The answer to a sent message.
pub fn sent(answer: send_message_response::Payload) -> v03::SendMessageResponse {
    encode::sent(answer, FILES)
}

/// One event of a stream, encoded once and shared; none for a user's message, which has no place in a stream.
pub fn event(event: &Event) -> Option<Bytes> {
    is_shown(event).then(|| {
        event.form(Form::V03Grpc, |event| {
            let last = ends_stream(event.state);
            encode::event(event.payload().clone(), last, FILES).encode_to_vec().into()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        proto::a2a::{
            Artifact, Message, Part, Role, TaskArtifactUpdateEvent, TaskState, TaskStatus, TaskStatusUpdateEvent,
            part::Content, stream_response::Payload,
        },
        task::TaskId,
    };

    fn read(state: TaskState, payload: Payload) -> Option<v03::stream_response::Payload> {
        let event = super::event(&Event::new(TaskId::mint(), 2, 0, state, payload))?;
        v03::StreamResponse::decode(event).unwrap().payload
    }

    #[test]
    fn status_updates_say_whether_they_are_the_last() {
        for (state, last) in [(TaskState::Working, false), (TaskState::InputRequired, true), (TaskState::Failed, true)]
        {
            let status = Some(TaskStatus { state: state.into(), ..TaskStatus::default() });
            let update = TaskStatusUpdateEvent { task_id: "t".into(), status, ..TaskStatusUpdateEvent::default() };
            let Some(v03::stream_response::Payload::StatusUpdate(read)) = read(state, Payload::StatusUpdate(update))
            else {
                panic!("{state:?}")
            };
            assert_eq!((read.r#final, read.status.unwrap().state), (last, i32::from(state)));
        }
    }

    #[test]
    fn files_go_out_as_base64_text_and_users_messages_not_at_all() {
        let part = Part { content: Some(Content::Raw(b"file"[..].into())), ..Part::default() };
        let artifact = Artifact { artifact_id: "a".into(), parts: vec![part], ..Artifact::default() };
        let update = TaskArtifactUpdateEvent { artifact: Some(artifact), ..TaskArtifactUpdateEvent::default() };
        let Some(v03::stream_response::Payload::ArtifactUpdate(update)) =
            read(TaskState::Working, Payload::ArtifactUpdate(update))
        else {
            panic!("not an update of an artifact")
        };
        let Some(v03::part::Part::File(file)) = &update.artifact.unwrap().parts[0].part else { panic!("not a file") };
        assert_eq!(file.file, Some(v03::file_part::File::FileWithBytes(b"ZmlsZQ=="[..].into())));
        let own = Message { role: Role::User.into(), ..Message::default() };
        assert_eq!(read(TaskState::Working, Payload::Message(own)), None);
    }

    #[test]
    fn an_event_is_encoded_once() {
        let update = TaskStatusUpdateEvent { task_id: "t".into(), ..TaskStatusUpdateEvent::default() };
        let shared = Event::new(TaskId::mint(), 2, 0, TaskState::Working, Payload::StatusUpdate(update));
        let (first, second) = (event(&shared).unwrap(), event(&shared).unwrap());
        assert_eq!(first.as_ptr(), second.as_ptr());
    }
}
