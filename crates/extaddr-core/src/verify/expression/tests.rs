use proptest::prelude::*;

use super::*;

fn compare(field: &str, value: &str) -> Expression {
    Expression::Compare {
        field: field.to_owned(),
        relation: Relation::Equal,
        values: vec![Value::parse(value)],
    }
}

fn named(field: &str, name: &str) -> Expression {
    Expression::Compare {
        field: field.to_owned(),
        relation: Relation::Equal,
        values: vec![Value::Text(name.to_owned())],
    }
}

fn symbol(name: &str) -> Expression {
    Expression::Symbol(name.to_owned())
}

fn not(inner: Expression) -> Expression {
    Expression::Not(Box::new(inner))
}

#[test]
fn flow_matches_of_every_release_are_parsed() {
    use Expression::{All, Any, Constant, Resident};
    let resident = || Resident("cr-R-ext".to_owned());
    for (text, expected) in [
        ("1", Constant(true)),
        (
            // 23.03
            "ip && ip4.src == 10.57.0.11 && outport == \"R-ext\" && is_chassis_resident(\"cr-R-ext\") && reg9[4] == 1",
            All(vec![
                symbol("ip"),
                compare("ip4.src", "10.57.0.11"),
                named("outport", "R-ext"),
                resident(),
                compare("reg9[4]", "1"),
            ]),
        ),
        (
            // 25.03, 26.03
            "ip && ip6.src == fd42::b && is_chassis_resident(\"cr-R-ext\") && (!ct.trk || !ct.rpl)",
            All(vec![
                symbol("ip"),
                compare("ip6.src", "fd42::b"),
                resident(),
                Any(vec![not(symbol("ct.trk")), not(symbol("ct.rpl"))]),
            ]),
        ),
        (
            "ip4 && ((ip4.src == 10.57.0.11 && tcp.src == 80)) && reg1[0..15] == 0x50",
            All(vec![
                symbol("ip4"),
                All(vec![compare("ip4.src", "10.57.0.11"), compare("tcp.src", "80")]),
                compare("reg1[0..15]", "80"),
            ]),
        ),
        (
            "ip4.dst == {10.0.0.1, 10.0.0.0/8 $as}",
            Expression::Compare {
                field: "ip4.dst".to_owned(),
                relation: Relation::Equal,
                values: ["10.0.0.1", "10.0.0.0/8", "$as"].map(Value::parse).to_vec(),
            },
        ),
        (r#"inport == "a\"b" || eth.src == 02:00:00:00:00:01"#, {
            Any(vec![named("inport", "a\"b"), compare("eth.src", "02:00:00:00:00:01")])
        }),
        ("tcp.dst < 80", {
            let values = vec![Value::Number(80)];
            Expression::Compare { field: "tcp.dst".to_owned(), relation: Relation::Ordered, values }
        }),
    ] {
        assert_eq!(Expression::parse(text), expected, "{text}");
    }
}

#[test]
fn unknown_expression_is_opaque_and_leaves_its_neighbours() {
    for text in ["", "ip &&", "ip4.src ==", "(ip", "ip)", "inport == \"x", "#", "ip ip", "{1}", "tür"] {
        assert_eq!(Expression::parse(text), Expression::Opaque, "{text}");
    }
    let function = Expression::parse("ip && sample(\"x\")");
    assert_eq!(function, Expression::All(vec![symbol("ip"), Expression::Opaque]));
    assert_eq!(Expression::parse("0 < tcp.dst < 80"), Expression::Opaque);
    let deep = format!("{}ip{}", "(".repeat(MAX_DEPTH + 1), ")".repeat(MAX_DEPTH + 1));
    assert_eq!(Expression::parse(&deep), Expression::Opaque);
    assert_eq!(Expression::parse(&"!".repeat(100_000)), Expression::Opaque);
}

/// Writes an expression as OVN does.
fn written(expression: &Expression) -> String {
    let joined = |parts: &[Expression], operator: &str| {
        parts.iter().map(|part| format!("({})", written(part))).collect::<Vec<_>>().join(operator)
    };
    match expression {
        Expression::Constant(value) => u8::from(*value).to_string(),
        Expression::All(parts) => joined(parts, " && "),
        Expression::Any(parts) => joined(parts, "||"),
        Expression::Not(inner) => format!("!({})", written(inner)),
        Expression::Symbol(name) => name.clone(),
        Expression::Resident(port) => {
            format!("is_chassis_resident(\"{}\")", port.replace('\\', "\\\\").replace('"', "\\\""))
        }
        Expression::Opaque => "other(\"\")".to_owned(),
        Expression::Compare { field, relation, values } => {
            let relation = match relation {
                Relation::Equal => "==",
                Relation::NotEqual => "!=",
                Relation::Ordered => ">=",
            };
            let values = values.iter().map(|value| match value {
                Value::Prefix(prefix) if prefix.prefix_len() == prefix.max_prefix_len() => {
                    prefix.addr().to_string()
                }
                Value::Prefix(prefix) => prefix.to_string(),
                Value::Number(number) => number.to_string(),
                Value::Text(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
                Value::Other(word) => word.clone(),
            });
            format!("{field} {relation} {{{}}}", values.collect::<Vec<_>>().join(", "))
        }
    }
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u32>().prop_map(|bits| Value::Prefix(IpAddr::from(bits.to_be_bytes()).into())),
        any::<u128>().prop_map(|bits| Value::Prefix(IpAddr::from(bits.to_be_bytes()).into())),
        any::<u64>().prop_map(Value::Number),
        "[ -~äß]{0,9}".prop_map(Value::Text),
        "[$@][a-z_]{1,5}".prop_map(Value::Other),
    ]
}

fn expression() -> impl Strategy<Value = Expression> {
    let relation = prop_oneof![Just(Relation::Equal), Just(Relation::NotEqual), Just(Relation::Ordered)];
    let leaf = prop_oneof![
        any::<bool>().prop_map(Expression::Constant),
        "[a-z]{1,4}(\\.[a-z]{1,4})?".prop_map(Expression::Symbol),
        "[ -~]{0,9}".prop_map(Expression::Resident),
        Just(Expression::Opaque),
        ("[a-z0-9]{1,5}(\\[[0-9]\\])?", relation, prop::collection::vec(value(), 0..4))
            .prop_filter("a number is not a field", |(field, ..)| field.starts_with(char::is_alphabetic))
            .prop_map(|(field, relation, values)| Expression::Compare { field, relation, values }),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expression::All),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expression::Any),
            inner.prop_map(|inner| Expression::Not(Box::new(inner))),
        ]
    })
}

proptest! {
    #[test]
    fn written_expression_is_parsed_to_itself(expression in expression()) {
        let text = written(&expression);
        prop_assert_eq!(Expression::parse(&text), expression, "{}", text);
    }

    #[test]
    fn any_text_is_parsed(text in "([ -~]|ü|ip4\\.src|==|&&|\\|\\||[(){}!\"]|10\\.0\\.0\\.0/8|\\$as| ){0,40}") {
        Expression::parse(&text);
    }
}
