//! Journal entries whose `MESSAGE` has the fields of the event: journalctl(1) shows nothing else by default.

use std::array;
use std::fmt;

use tracing::field::{Field, Value, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};
use tracing_subscriber::layer::Context;

/// The maximum number of fields of an event; further ones would be left out of the entry, but not of its message.
const MAX_FIELDS: usize = 32;

/// A layer that passes events on with all fields in the message, as terminals show them. The program has no spans.
pub(super) struct Rendered<L>(pub(super) L);

/// The fields of an event as text, without the message.
#[derive(Default)]
struct Fields(Vec<(Field, String)>);

impl<S: Subscriber, L: Layer<S>> Layer<S> for Rendered<L> {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut message = String::new();
        let rendered = DefaultFields::new().format_fields(Writer::new(&mut message), event);
        let mut fields = Fields::default();
        event.record(&mut fields);
        let (Some(name), Ok(())) = (metadata.fields().field("message"), rendered) else {
            return self.0.on_event(event, context);
        };
        fields.0.insert(0, (name.clone(), message));
        // Empty places have a name, too.
        let values: [_; MAX_FIELDS] = array::from_fn(|at| match fields.0.get(at) {
            Some((field, value)) => (field, Some(value as &dyn Value)),
            None => (&name, None),
        });
        self.0.on_event(&Event::new(metadata, &metadata.fields().value_set(&values)), context);
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record(field, format!("{value:?}"));
    }
}

impl Fields {
    fn record(&mut self, field: &Field, value: String) {
        if field.name() != "message" {
            self.0.push((field.clone(), value));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::subscriber::with_default;
    use tracing_subscriber::Registry;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// The fields of all events, as the journal gets them.
    #[derive(Clone, Default)]
    struct Journal(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Journal {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            event.record(&mut Self::clone(self));
        }
    }

    impl Visit for Journal {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            self.0.lock().unwrap().push(format!("{field}={value:?}"));
        }

        fn record_str(&mut self, field: &Field, value: &str) {
            self.0.lock().unwrap().push(format!("{field}={value}"));
        }
    }

    #[test]
    fn message_has_the_fields_and_each_is_kept() {
        let journal = Journal::default();
        with_default(Registry::default().with(Rendered(journal.clone())), || {
            let absent: Option<u32> = None;
            tracing::warn!(port = %"p1", absent, count = 3, "row restored");
            tracing::info!("synchronised");
        });
        let message = "message=row restored port=p1 count=3";
        assert_eq!(*journal.0.lock().unwrap(), [message, "port=p1", "count=3", "message=synchronised"]);
    }
}
