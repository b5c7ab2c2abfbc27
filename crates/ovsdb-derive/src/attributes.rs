//! The attributes `#[ovsdb(...)]`.

use syn::ext::IdentExt;
use syn::{Attribute, DeriveInput, Field, Ident, LitInt, LitStr, Type};

/// The content of a struct's attribute.
#[derive(Default)]
pub(crate) struct StructAttributes {
    pub(crate) table: Option<LitStr>,
    pub(crate) load_stage: u8,
    pub(crate) since: String,
    pub(crate) absent: String,
    pub(crate) is_optional: bool,
    pub(crate) context: Option<Type>,
    /// The row type that a group of columns belongs to.
    pub(crate) row: Option<Type>,
}

/// The role of a field.
pub(crate) enum FieldRole {
    /// The row's `_uuid`.
    Uuid,
    /// Not a column.
    Skip,
    /// A group of columns.
    Flatten,
    /// A column, or a part of one.
    Column(Part),
}

/// A field that is a column or a part of one.
pub(crate) struct Part {
    /// The column's name.
    pub(crate) column: String,
    pub(crate) extent: Extent,
    pub(crate) is_optional: bool,
    /// Whether it is an index.
    pub(crate) is_index: bool,
    pub(crate) since: String,
    pub(crate) absent: String,
}

/// The part of a column that a field holds.
pub(crate) enum Extent {
    Whole,
    Key(String),
    Prefix(String),
}

/// The content of the attribute of an enumeration's variant.
#[derive(Default)]
pub(crate) struct VariantAttributes {
    pub(crate) name: Option<String>,
    pub(crate) is_other: bool,
    pub(crate) is_default: bool,
}

impl StructAttributes {
    pub(crate) fn parse(input: &DeriveInput) -> syn::Result<Self> {
        let mut parsed = Self::default();
        for attribute in ours(&input.attrs) {
            attribute.parse_nested_meta(|meta| {
                let text = || meta.value()?.parse::<LitStr>();
                match &*name(meta.path.get_ident()) {
                    "table" => parsed.table = Some(text()?),
                    "load_stage" => parsed.load_stage = meta.value()?.parse::<LitInt>()?.base10_parse()?,
                    "since" => parsed.since = text()?.value(),
                    "absent" => parsed.absent = text()?.value(),
                    "optional" => parsed.is_optional = true,
                    "context" => parsed.context = Some(text()?.parse()?),
                    "row" => parsed.row = Some(text()?.parse()?),
                    _ => {
                        return Err(
                            meta.error("expected table, load_stage, since, absent, optional, context or row")
                        );
                    }
                }
                Ok(())
            })?;
        }
        Ok(parsed)
    }
}

impl FieldRole {
    pub(crate) fn parse(field: &Field, ident: &Ident) -> syn::Result<Self> {
        let mut role = None;
        let mut part = Part {
            column: ident.unraw().to_string(),
            extent: Extent::Whole,
            is_optional: false,
            is_index: false,
            since: String::new(),
            absent: String::new(),
        };
        for attribute in ours(&field.attrs) {
            attribute.parse_nested_meta(|meta| {
                let text = || meta.value()?.parse::<LitStr>();
                match &*name(meta.path.get_ident()) {
                    "uuid" => role = Some(Self::Uuid),
                    "skip" => role = Some(Self::Skip),
                    "flatten" => role = Some(Self::Flatten),
                    "column" => part.column = text()?.value(),
                    "key" => (part.column, part.extent) = split(&text()?, Extent::Key)?,
                    "prefix" => (part.column, part.extent) = split(&text()?, Extent::Prefix)?,
                    "optional" => part.is_optional = true,
                    "index" => part.is_index = true,
                    "since" => part.since = text()?.value(),
                    "absent" => part.absent = text()?.value(),
                    _ => {
                        return Err(meta.error(
                            "expected column, key, prefix, optional, index, since, absent, uuid, flatten or skip",
                        ));
                    }
                }
                Ok(())
            })?;
        }
        Ok(role.unwrap_or(Self::Column(part)))
    }
}

impl VariantAttributes {
    pub(crate) fn parse(attributes: &[Attribute]) -> syn::Result<Self> {
        let mut parsed =
            Self { is_default: attributes.iter().any(|a| a.path().is_ident("default")), ..Self::default() };
        for attribute in ours(attributes) {
            attribute.parse_nested_meta(|meta| {
                match &*name(meta.path.get_ident()) {
                    "name" => parsed.name = Some(meta.value()?.parse::<LitStr>()?.value()),
                    "other" => parsed.is_other = true,
                    _ => return Err(meta.error("expected name or other")),
                }
                Ok(())
            })?;
        }
        Ok(parsed)
    }
}

fn ours(attributes: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attributes.iter().filter(|attribute| attribute.path().is_ident("ovsdb"))
}

fn name(ident: Option<&Ident>) -> String {
    ident.map(Ident::to_string).unwrap_or_default()
}

/// Splits `COLUMN:KEY`. Keys may contain further colons.
fn split(text: &LitStr, extent: impl FnOnce(String) -> Extent) -> syn::Result<(String, Extent)> {
    match text.value().split_once(':') {
        Some((column, key)) if !column.is_empty() && !key.is_empty() => {
            Ok((column.to_owned(), extent(key.to_owned())))
        }
        _ => Err(syn::Error::new(text.span(), "expected \"COLUMN:KEY\", such as \"options:chassis\"")),
    }
}
