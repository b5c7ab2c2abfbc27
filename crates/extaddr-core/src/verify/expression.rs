//! Matches of logical flows, as far as they are needed here: ovn-sb(5), table `Logical_Flow`, column `match`.
//!
//! A match that is not understood completely is [`Expression::Opaque`]: it is not known which packets it matches.

use std::net::IpAddr;

use ipnet::IpNet;

#[cfg(test)]
mod tests;

/// The maximum nesting of expressions. ovn-northd nests two or three levels; expressions of users are nested in these.
const MAX_DEPTH: usize = 64;

/// An expression of OVN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expression {
    /// `1` or `0`: every packet, or none.
    Constant(bool),
    /// Expressions that are joined by `&&`.
    All(Vec<Self>),
    /// Expressions that are joined by `||`.
    Any(Vec<Self>),
    /// `!`
    Not(Box<Self>),
    /// `field == value` and the like; several values are a set in braces.
    Compare {
        /// The field, such as `ip4.src`.
        field: String,
        /// The relation between the field and the operands.
        relation: Relation,
        /// The operands.
        values: Vec<Value>,
    },
    /// A field or predicate by itself, such as `tcp` or `ct.new`.
    Symbol(String),
    /// `is_chassis_resident("port")`
    Resident(String),
    /// An expression that is not understood.
    Opaque,
}

/// The relation between a field and its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`, `<=`, `>` or `>=`
    Ordered,
}

/// A value that a field is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// An address or prefix.
    Prefix(IpNet),
    /// A number.
    Number(u64),
    /// A text in quotes, mostly the name of a port.
    Text(String),
    /// An address set, a port group, a MAC address, or anything else.
    Other(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// Punctuation and operators.
    Sign(&'static str),
    /// A field, function or constant.
    Word(String),
    /// A text in quotes.
    Text(String),
}

/// The signs, the longer ones first.
const SIGNS: [&str; 13] = ["&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "(", ")", "{", "}"];

impl Expression {
    /// Reads a match.
    pub(super) fn parse(text: &str) -> Self {
        let parsed = tokens(text).and_then(|tokens| {
            let mut parser = Parser { tokens: &tokens, depth: 0 };
            let expression = parser.any()?;
            parser.tokens.is_empty().then_some(expression)
        });
        parsed.unwrap_or(Self::Opaque)
    }
}

impl Value {
    fn parse(word: &str) -> Self {
        let number = word
            .strip_prefix("0x")
            .map_or_else(|| word.parse().ok(), |digits| u64::from_str_radix(digits, 16).ok());
        if let Some(number) = number {
            return Self::Number(number);
        }
        let address = || word.parse::<IpAddr>().ok().map(IpNet::from);
        match word.parse::<IpNet>().ok().or_else(address) {
            Some(prefix) => Self::Prefix(prefix),
            None => Self::Other(word.to_owned()),
        }
    }
}

/// Splits a match into tokens; `None` if it contains anything else.
fn tokens(text: &str) -> Option<Vec<Token>> {
    let (mut tokens, mut rest) = (Vec::new(), text.trim_start());
    while !rest.is_empty() {
        let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
        let token = if let Some(sign) = sign {
            rest = &rest[sign.len()..];
            Some(Token::Sign(sign))
        } else if let Some(after) = rest.strip_prefix(',') {
            // The commas of a set are optional.
            rest = after;
            None
        } else if let Some(after) = rest.strip_prefix('"') {
            let (text, after) = quoted(after)?;
            rest = after;
            Some(Token::Text(text))
        } else {
            let end = rest.find(|c| !is_of_word(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at_checked(end).filter(|(word, _)| !word.is_empty())?;
            rest = after;
            Some(Token::Word(word.to_owned()))
        };
        tokens.extend(token);
        rest = rest.trim_start();
    }
    Some(tokens)
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_.:/[]-$@".contains(c)
}

/// Reads a JSON string after its first quote, and returns the rest of the text.
fn quoted(text: &str) -> Option<(String, &str)> {
    let (mut found, mut chars) = (String::new(), text.char_indices());
    while let Some((place, c)) = chars.next() {
        match c {
            '"' => return Some((found, &text[place + 1..])),
            '\\' => match chars.next()?.1 {
                plain @ ('"' | '\\' | '/') => found.push(plain),
                // Names with control characters are not needed here.
                _ => return None,
            },
            c => found.push(c),
        }
    }
    None
}

struct Parser<'a> {
    tokens: &'a [Token],
    depth: usize,
}

impl Parser<'_> {
    fn any(&mut self) -> Option<Expression> {
        self.joined("||", Self::all, Expression::Any)
    }

    fn all(&mut self) -> Option<Expression> {
        self.joined("&&", Self::one, Expression::All)
    }

    /// Reads parts with an operator between them.
    fn joined(
        &mut self,
        operator: &str,
        part: impl Fn(&mut Self) -> Option<Expression>,
        join: impl FnOnce(Vec<Expression>) -> Expression,
    ) -> Option<Expression> {
        let mut parts = vec![part(self)?];
        while self.takes(operator) {
            parts.push(part(self)?);
        }
        if parts.len() == 1 { parts.pop() } else { Some(join(parts)) }
    }

    fn one(&mut self) -> Option<Expression> {
        if self.takes("!") {
            return self.nested(|parser| Some(Expression::Not(Box::new(parser.one()?))));
        }
        if self.takes("(") {
            let inner = self.nested(Self::any)?;
            return self.takes(")").then_some(inner);
        }
        let (first, rest) = self.tokens.split_first()?;
        let Token::Word(word) = first else { return None };
        self.tokens = rest;
        if self.takes("(") {
            let argument = self.text()?;
            self.takes(")").then_some(())?;
            // Other functions are not known here.
            let is_residence = word == "is_chassis_resident";
            return Some(if is_residence { Expression::Resident(argument) } else { Expression::Opaque });
        }
        let Some(relation) = self.relation() else {
            return Some(match &**word {
                "1" => Expression::Constant(true),
                "0" => Expression::Constant(false),
                _ => Expression::Symbol(word.clone()),
            });
        };
        let values = self.values()?;
        // As in `0 < tcp.dst < 80`.
        if self.relation().is_some() {
            self.values()?;
            return Some(Expression::Opaque);
        }
        Some(Expression::Compare { field: word.clone(), relation, values })
    }

    fn nested(&mut self, read: impl FnOnce(&mut Self) -> Option<Expression>) -> Option<Expression> {
        self.depth += 1;
        let found = if self.depth > MAX_DEPTH { None } else { read(self) };
        self.depth -= 1;
        found
    }

    fn relation(&mut self) -> Option<Relation> {
        if self.takes("==") {
            return Some(Relation::Equal);
        }
        if self.takes("!=") {
            return Some(Relation::NotEqual);
        }
        ["<=", ">=", "<", ">"].into_iter().any(|sign| self.takes(sign)).then_some(Relation::Ordered)
    }

    /// Reads a value, or several in braces.
    fn values(&mut self) -> Option<Vec<Value>> {
        if !self.takes("{") {
            return Some(vec![self.value()?]);
        }
        let mut values = Vec::new();
        while !self.takes("}") {
            values.push(self.value()?);
        }
        Some(values)
    }

    fn value(&mut self) -> Option<Value> {
        let (first, rest) = self.tokens.split_first()?;
        let value = match first {
            Token::Word(word) => Value::parse(word),
            Token::Text(text) => Value::Text(text.clone()),
            Token::Sign(_) => return None,
        };
        self.tokens = rest;
        Some(value)
    }

    fn text(&mut self) -> Option<String> {
        let (Token::Text(text), rest) = self.tokens.split_first()? else { return None };
        self.tokens = rest;
        Some(text.clone())
    }

    /// Takes the next token if it is this sign.
    fn takes(&mut self, sign: &str) -> bool {
        match self.tokens.split_first() {
            Some((Token::Sign(next), rest)) if *next == sign => {
                self.tokens = rest;
                true
            }
            _ => false,
        }
    }
}
