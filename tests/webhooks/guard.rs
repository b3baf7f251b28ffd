//! Where the gateway does not send, and what it does not take.

use a2a_gateway::proto::{
    a2a::AuthenticationInfo,
    gateway::{CreateWebhookRequest, Delivery, DeliveryState, NewWebhook},
};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::{
    process::submit,
    receiver::Receiver,
    rig::{ALLOWED, Rig, hook, one_event, sets, statuses},
};

/// The loopback, private networks and clouds' metadata, as they can be written.
const PRIVATE: &[&str] = &[
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "127.0.0.1.",
    "localhost",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "[::]",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:a9fe:a9fe]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[fc00::1]",
    "[fe80::1]",
    "224.0.0.1",
    "255.255.255.255",
];

#[tokio::test(flavor = "multi_thread")]
async fn private_addresses_are_refused_unless_they_are_allowed() {
    let receiver = Receiver::willing().await;
    let mut rig = Rig::start_with(tempfile::tempdir().unwrap(), &[]).await;
    for host in PRIVATE {
        let url = format!("http://{host}:{}/in", receiver.address.port());
        let request = CreateWebhookRequest { webhook: Some(hook(url.clone())) };
        let refused = rig.client.create_webhook(request).await.expect_err(host);
        assert_eq!(refused.code(), Code::InvalidArgument, "{host}: {refused:?}");
        let fields: Vec<_> = refused.get_error_details().bad_request().unwrap().field_violations.clone();
        assert_eq!(fields[0].field, "webhook.url", "{host}: {refused:?}");

        let mut request = submit("hello", "");
        request.webhooks = vec![hook(url)];
        let refused = rig.client.submit_task(request).await.expect_err(host);
        let fields: Vec<_> = refused.get_error_details().bad_request().unwrap().field_violations.clone();
        assert_eq!(fields[0].field, "webhooks[0].url", "{host}: {refused:?}");
    }
    // Nothing came of the submits either.
    let listed = rig.client.list_tasks(a2a_gateway::proto::gateway::ListTasksRequest::default()).await.unwrap();
    assert!(listed.into_inner().tasks.is_empty());
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_longer_allowed_is_not_sent_to() {
    let receiver = Receiver::willing().await;
    let schedule = "webhooks.schedule=100ms";
    let mut rig = Rig::start(&[schedule]).await;
    rig.create(one_event(receiver.url("/in"))).await;
    let first = rig.submit("hello", vec![]).await;
    rig.delivered(&first, 1).await;

    let mut rig = Rig::start_with(rig.stop(), &sets(&[schedule])).await;
    let second = rig.submit("hello", vec![]).await;
    let failed = |all: &[Delivery]| all.iter().any(|one| one.state() == DeliveryState::Failed);
    let all = rig.until(&second, "refusal", failed).await;
    assert!(statuses(&all[0]).iter().all(|status| *status == 0), "{all:?}");
    assert!(all[0].attempts.iter().all(|attempt| !attempt.error.is_empty()), "{all:?}");
    assert_eq!(receiver.count(), 1);

    let mut rig = Rig::start_with(rig.stop(), &[ALLOWED, &sets(&[schedule])].concat()).await;
    let third = rig.submit("hello", vec![]).await;
    rig.delivered(&third, 1).await;
    assert_eq!(receiver.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_can_be_smuggled_into_a_request() {
    let receiver = Receiver::willing().await;
    let mut rig = Rig::start(&[]).await;
    let url = receiver.url("/in");
    let authentication = |scheme: &str, credentials: &str| {
        Some(AuthenticationInfo { scheme: scheme.into(), credentials: credentials.into() })
    };
    for bad in ["a\r\nX-Evil: 1", "a\nb", "a\0b", "a\tb", "ä"] {
        let right = hook(url.clone());
        let wrong = [
            ("webhook.url", NewWebhook { url: format!("{url}{bad}"), ..right.clone() }),
            ("webhook.token", NewWebhook { token: bad.into(), ..right.clone() }),
            ("webhook.authentication.scheme", NewWebhook { authentication: authentication(bad, "x"), ..right.clone() }),
            (
                "webhook.authentication.credentials",
                NewWebhook { authentication: authentication("Bearer", bad), ..right.clone() },
            ),
            ("webhook.signing_secret", NewWebhook { signing_secret: bad.into(), ..right.clone() }),
        ];
        for (field, webhook) in wrong {
            let request = CreateWebhookRequest { webhook: Some(webhook) };
            let refused = rig.client.create_webhook(request).await.expect_err(field);
            let details = refused.get_error_details();
            let fields: Vec<_> = details.bad_request().unwrap().field_violations.iter().map(|one| &one.field).collect();
            assert_eq!(fields, [field], "{bad:?}: {refused:?}");
        }
    }
}
