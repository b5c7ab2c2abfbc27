use std::io::{BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Deserializer, Value, json};

/// Longer than any transaction a test may send.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs one transaction over a connection of its own and returns the result of each operation.
pub(crate) fn transact(socket: &Path, database: &str, operations: Vec<Value>) -> Result<Vec<Value>> {
    let count = operations.len();
    let mut params = vec![json!(database)];
    params.extend(operations);
    let Value::Array(results) = call(socket, "transact", Value::Array(params))? else {
        bail!("the result of a transaction is no array");
    };
    // RFC 7047, section 4.1.3: one result for each operation, and one more when the commit itself failed.
    if let Some((at, failed)) = results.iter().enumerate().find(|(_, result)| result.get("error").is_some()) {
        bail!("operation {at} of {count}: {failed}");
    }
    Ok(results)
}

fn call(socket: &Path, method: &str, params: Value) -> Result<Value> {
    let mut stream =
        UnixStream::connect(socket).with_context(|| format!("cannot connect to {}", socket.display()))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = json!({"id": 1, "method": method, "params": params});
    stream.write_all(&serde_json::to_vec(&request)?)?;
    for message in Deserializer::from_reader(BufReader::new(stream.try_clone()?)).into_iter::<Value>() {
        let message = message.with_context(|| format!("no reply to {method}"))?;
        if message["method"] == "echo" {
            let reply = json!({"id": message["id"], "result": message["params"], "error": null});
            stream.write_all(&serde_json::to_vec(&reply)?)?;
        } else if message["id"] == 1 {
            if !message["error"].is_null() {
                bail!("{method}: {}", message["error"]);
            }
            return Ok(message["result"].clone());
        }
    }
    bail!("the server hung up before it answered {method}")
}
