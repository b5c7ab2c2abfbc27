//! The stream of lifecycle events of an API: a WebSocket.

use std::time::Duration;

use extaddr_core::sources::event::Event;
use extaddr_core::sources::listing;
use futures_util::{SinkExt, StreamExt};
use hyper::StatusCode;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::api::{Failure, host};
use super::cms::Cms;
use super::stream::{Stream, connect};

/// The time for which the server may be silent before it is probed, and then before it counts as dead.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);

/// The time that the server may take to open the stream.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);

/// The maximum length of an event, in bytes. Events have some hundred bytes; that of an executed command contains the
/// request, of 1 MiB at most in Incus, whose bytes may be written as six.
const MAX_EVENT: usize = 16 << 20;

/// The stream of lifecycle events.
pub(super) struct Events {
    socket: WebSocketStream<Box<dyn Stream>>,
    /// Whether the server was probed and has not answered since.
    is_asked: bool,
}

impl Events {
    /// Opens the stream, which has all events from then on.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses.
    pub(super) async fn open(cms: &Cms) -> Result<Self, Failure> {
        let stream = connect(&cms.place).await.map_err(|error| Failure::unreachable(cms, &error))?;
        let url = format!("ws://{}/1.0/events?type=lifecycle&all-projects=true", host(&cms.place));
        let request = url.into_client_request().map_err(|error| Failure::new(error.to_string()))?;
        let config =
            WebSocketConfig::default().max_message_size(Some(MAX_EVENT)).max_frame_size(Some(MAX_EVENT));
        let opening = client_async_with_config(request, stream, Some(config));
        match timeout(OPEN_TIMEOUT, opening).await {
            Ok(Ok((socket, _))) => Ok(Self { socket, is_asked: false }),
            Ok(Err(Error::Http(response))) => {
                let status =
                    StatusCode::from_u16(response.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
                let body = response.into_body().unwrap_or_default();
                Err(Failure::refused(status, &listing::error_text(&body)))
            }
            Ok(Err(error)) => Err(Failure::new(format!("the server does not offer events: {error}"))),
            Err(_) => Err(Failure::new(format!("no events within {OPEN_TIMEOUT:?}"))),
        }
    }

    /// Waits for the next event.
    ///
    /// # Errors
    /// The stream has ended, or a message is not an event.
    ///
    /// # Cancel safety
    /// No event is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> Result<Event, Failure> {
        loop {
            let Ok(message) = timeout(SILENCE_TIMEOUT, self.socket.next()).await else {
                if std::mem::replace(&mut self.is_asked, true) {
                    return Err(Failure::new(format!("the server is silent for {:?}", 2 * SILENCE_TIMEOUT)));
                }
                self.socket.send(Message::Ping(Default::default())).await.map_err(broken)?;
                continue;
            };
            self.is_asked = false;
            match message {
                Some(Ok(Message::Text(text))) => {
                    return Event::read(&text).map_err(|error| {
                        Failure::new(format!("the server sent a message that is not an event: {error}"))
                    });
                }
                None | Some(Ok(Message::Close(_))) => {
                    return Err(Failure::new("the server has closed the stream of events".to_owned()));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(broken(error)),
            }
        }
    }
}

fn broken(error: Error) -> Failure {
    Failure::new(format!("the stream of events broke: {error}"))
}
