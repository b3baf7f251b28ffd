//! Extensions: what a caller asks for and the card declares reaches the agent, with every call of the turn, also after a
//! restart of the gateway.

use std::sync::{Arc, Mutex};

use a2a_gateway::{
    agent::a2a::Mode,
    proto::{
        a2a::TaskState,
        gateway::{AgentState, ListAgentsRequest},
    },
};
use http::HeaderMap;
use serde_json::json;

use crate::{
    door::{Client, Door, Send, say_at_once},
    rig::{A2A, Front, each, settings},
    upstream::{Auto, Face, Fate, Operation, Options, PATIENCE},
};

const ONE: &str = "http://e/1";
const TWO: &str = "http://e/2";

/// What the calls asked for: the operation and the two headers.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<(Operation, String, String)>>>);

impl Asked {
    /// An agent that declares both extensions, and what it is asked.
    fn agent(face: Face) -> (Auto, Self) {
        let asked = Self::default();
        let noted = asked.clone();
        let sieve = Box::new(move |request: &crate::upstream::Request| {
            let header = |name| request.header(name).to_owned();
            let (now, before) = (header("a2a-extensions"), header("x-a2a-extensions"));
            noted.0.lock().unwrap().push((request.operation, now, before));
            Fate::Answered
        });
        let agent = Auto::start_with(face, Options::default(), sieve);
        let mut card = agent.card.get();
        card["capabilities"]["extensions"] = json!([{"uri": ONE}, {"uri": TWO, "description": "two"}]);
        agent.card.set(&card);
        (agent, asked)
    }

    /// The operations so far, each of which must have asked for this, in the words of the agent's version.
    #[track_caller]
    fn take(&self, face: Face, uris: &str) -> Vec<Operation> {
        let taken = std::mem::take(&mut *self.0.lock().unwrap());
        let expected = match face {
            Face::JsonRpc10 | Face::Rest10 | Face::Grpc10 => (uris, ""),
            Face::JsonRpc03 | Face::Rest03 | Face::Grpc03 => ("", uris),
            Face::Praison => ("", ""),
        };
        for (operation, now, before) in &taken {
            assert_eq!((now.as_str(), before.as_str()), expected, "{face:?} {operation:?}");
        }
        taken.into_iter().map(|(operation, ..)| operation).collect()
    }
}

/// A client of the JSON-RPC door that asks for extensions.
fn asking(front: &Front, uris: &str) -> Client {
    let headers = HeaderMap::from_iter([(http::HeaderName::from_static("a2a-extensions"), uris.parse().unwrap())]);
    let http = reqwest::Client::builder().tcp_nodelay(true).default_headers(headers).build().unwrap();
    Client { http, ..front.gateway.client(Door::V1) }
}

/// Waits until the gateway has read the agent's card.
async fn ready(front: &Front) {
    let mut gateway = front.client.gateway();
    let ready = async {
        loop {
            let agents = gateway.list_agents(ListAgentsRequest {}).await.unwrap().into_inner().agents;
            if agents[0].state() == AgentState::Ready {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, ready).await.expect("the agent was not found");
}

#[tokio::test]
async fn every_call_of_a_turn_asks_for_what_is_active_also_after_a_restart() {
    each(&Face::ALL, |face| async move {
        // PraisonAI's streams leave no trace in its table.
        let modes = if face == Face::Praison { &[Mode::Poll][..] } else { &[Mode::Stream, Mode::Poll] };
        for mode in modes {
            let (mut agent, asked) = Asked::agent(face);
            let front = Front::open(settings(&agent, *mode)).await;
            ready(&front).await;
            let client = asking(&front, "http://e/2, http://e/1/other, http://e/1");
            let id = client.send(say_at_once("go")).await.unwrap().task().id;
            let task = agent.turn().await;
            // A restart before the gateway has heard of the agent's task would be about something else.
            agent.status(&task.id, TaskState::Working, "on it");
            front.client.until(&id, TaskState::Working).await;
            let before = agent.count(Operation::Get);
            let front = front.restart(async {}).await;
            agent.wait_count(Operation::Get, before + 1).await;
            // The cancel asks for nothing itself.
            front.gateway.client(Door::V1).cancel(&id).await.unwrap();
            agent.wait_count(Operation::Cancel, 1).await;
            assert_eq!(agent.get(&task.id).unwrap().state, TaskState::Canceled);
            let operations = asked.take(face, "http://e/2, http://e/1");
            assert!(operations[0].is_send() && operations.contains(&Operation::Get), "{operations:?}");
            assert!(operations.contains(&Operation::Cancel), "{operations:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_lost_stream_is_taken_up_with_the_same_extensions() {
    each(&crate::rig::V1, |face| async move {
        let (mut agent, asked) = Asked::agent(face);
        let front = Front::open(settings(&agent, Mode::Stream)).await;
        ready(&front).await;
        let id = asking(&front, ONE).send(say_at_once("go")).await.unwrap().task().id;
        let task = agent.turn().await;
        agent.status(&task.id, TaskState::Working, "on it");
        front.client.until(&id, TaskState::Working).await;
        agent.restart().await;
        agent.wait_count(Operation::Subscribe, 1).await;
        agent.status(&task.id, TaskState::Completed, "done");
        front.client.until(&id, TaskState::Completed).await;
        let operations = asked.take(face, ONE);
        assert!(operations.contains(&Operation::Subscribe), "{operations:?}");
    })
    .await;
}

#[tokio::test]
async fn each_turn_has_its_own() {
    each(&A2A, |face| async move {
        let (mut agent, asked) = Asked::agent(face);
        let front = Front::open(settings(&agent, Mode::Stream)).await;
        ready(&front).await;
        let id = asking(&front, ONE).send(say_at_once("book a room")).await.unwrap().task().id;
        let task = agent.turn().await;
        agent.status(&task.id, TaskState::InputRequired, "which one?");
        front.client.until(&id, TaskState::InputRequired).await;
        asked.take(face, ONE);
        for (uris, answer) in [(TWO, "the blue one"), ("http://e/unknown", "the green one")] {
            let send = Send { task: &id, ..say_at_once(answer) };
            asking(&front, uris).send(send).await.unwrap();
            agent.turn().await;
            let last = uris != TWO;
            let state = if last { TaskState::Completed } else { TaskState::InputRequired };
            agent.status(&task.id, state, answer);
            front.client.until(&id, state).await;
            asked.take(face, if last { "" } else { uris });
        }
    })
    .await;
}

#[tokio::test]
async fn an_agent_whose_card_is_not_known_is_asked_for_all() {
    each(&[Face::Grpc10, Face::Grpc03], |face| async move {
        let (mut agent, asked) = Asked::agent(face);
        let mut settings = settings(&agent, Mode::Stream);
        (settings.url, settings.interface) = (agent.endpoint(), Some(face.interface()));
        let front = Front::open(settings).await;
        let id = asking(&front, "http://e/other, http://e/1").send(say_at_once("go")).await.unwrap().task().id;
        let task = agent.turn().await;
        agent.status(&task.id, TaskState::Completed, "done");
        front.client.until(&id, TaskState::Completed).await;
        asked.take(face, "http://e/other, http://e/1");
    })
    .await;
}
