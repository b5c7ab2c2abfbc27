//! `#[derive(ColumnGroup)]`: the common parts of groups of columns and tables.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Data, DeriveInput, Fields, Ident, Type};

use crate::attributes::{Extent, FieldRole, Part, StructAttributes};

pub(crate) fn derive(input: &DeriveInput) -> syn::Result<TokenStream> {
    let attributes = StructAttributes::parse(input)?;
    if let Some(table) = &attributes.table {
        return Err(syn::Error::new(table.span(), "a group of columns has no table: derive Table"));
    }
    let declaration = Declaration::parse(input, attributes)?;
    if let Some((member, _)) = declaration.indexed().next() {
        return Err(syn::Error::new(
            member.ident.span(),
            "an index must be declared in the table's own struct",
        ));
    }
    Ok(declaration.columns())
}

/// A struct of columns.
pub(crate) struct Declaration<'i> {
    pub(crate) input: &'i DeriveInput,
    pub(crate) attributes: StructAttributes,
    columns: Vec<Column<'i>>,
    /// The groups of further columns.
    groups: Vec<Member<'i>>,
    pub(crate) uuid: Option<&'i Ident>,
    skipped: Vec<&'i Ident>,
}

pub(crate) struct Member<'i> {
    pub(crate) ident: &'i Ident,
    pub(crate) field_type: &'i Type,
}

/// A column, and the fields that hold it.
struct Column<'i> {
    name: String,
    parts: Vec<(Member<'i>, Part)>,
}

impl<'i> Declaration<'i> {
    pub(crate) fn parse(input: &'i DeriveInput, attributes: StructAttributes) -> syn::Result<Self> {
        let Data::Struct(data) = &input.data else {
            return Err(syn::Error::new_spanned(input, "only structs have columns"));
        };
        let Fields::Named(fields) = &data.fields else {
            return Err(syn::Error::new_spanned(input, "columns need named fields"));
        };
        if !input.generics.params.is_empty() {
            return Err(syn::Error::new_spanned(&input.generics, "a row type cannot be generic"));
        }
        let (mut columns, mut groups) = (Vec::<Column<'_>>::new(), Vec::new());
        let (mut uuid, mut skipped) = (None, Vec::new());
        for field in &fields.named {
            let Some(ident) = &field.ident else { continue };
            let member = Member { ident, field_type: &field.ty };
            match FieldRole::parse(field, ident)? {
                FieldRole::Uuid => uuid = Some(ident),
                FieldRole::Skip => skipped.push(ident),
                FieldRole::Flatten => groups.push(member),
                FieldRole::Column(part) => match columns.iter_mut().find(|column| column.name == part.column)
                {
                    None => columns.push(Column { name: part.column.clone(), parts: vec![(member, part)] }),
                    Some(column) => {
                        let is_whole = |part: &Part| matches!(part.extent, Extent::Whole);
                        if is_whole(&part) || column.parts.iter().any(|(_, other)| is_whole(other)) {
                            let message = format!(
                                "the column {} is declared twice: it is either one field, or fields for keys and prefixes",
                                column.name
                            );
                            return Err(syn::Error::new_spanned(field, message));
                        }
                        column.parts.push((member, part));
                    }
                },
            }
        }
        Ok(Self { input, attributes, columns, groups, uuid, skipped })
    }

    /// Generates the implementation of `ColumnGroup`, and the constant with the names of the columns.
    pub(crate) fn columns(&self) -> TokenStream {
        let Self { input, columns, groups, uuid, skipped, .. } = self;
        let name = &input.ident;
        let context = self.context();
        let own = columns.len();
        let specs = columns.iter().map(|column| column.spec(&context, self.attributes.is_optional));
        let group_types: Vec<_> = groups.iter().map(|group| group.field_type).collect();
        let group_idents: Vec<_> = groups.iter().map(|group| group.ident).collect();
        // The position of each group's first column among all columns.
        let offsets: Vec<_> = (0..groups.len())
            .map(|index| {
                let before = &group_types[..index];
                quote!((#own #(+ <#before as ::ovsdb_protocol::ColumnGroup>::COLUMNS.len())*))
            })
            .collect();
        let names = columns.iter().map(|column| &column.name);
        let indexes: Vec<_> = (0..own).collect();
        let applied = columns.iter().map(|column| column.apply(&context));
        let fields: Vec<_> = columns.iter().flat_map(|column| &column.parts).map(|(m, _)| m.ident).collect();
        let resets = columns.iter().map(|column| {
            let fields = column.parts.iter().map(|(member, _)| member.ident);
            quote!(#(self.#fields = ::core::default::Default::default();)*)
        });
        let differs = columns.iter().map(|column| {
            let fields = column.parts.iter().map(|(member, _)| member.ident);
            quote!(#(self.#fields != other.#fields)||*)
        });
        let defaulted = uuid.iter().chain(skipped).copied().chain(fields.iter().copied());
        let constants = self.constants();
        quote! {
            impl ::ovsdb_protocol::ColumnGroup for #name {
                type Context = #context;

                const COLUMNS: &'static [::ovsdb_protocol::ColumnSpec] = &::ovsdb_protocol::join_columns::<
                    { #own #(+ <#group_types as ::ovsdb_protocol::ColumnGroup>::COLUMNS.len())* },
                >(&[&[#(#specs),*] #(, <#group_types as ::ovsdb_protocol::ColumnGroup>::COLUMNS)*]);

                fn with_defaults() -> Self {
                    Self {
                        #(#defaulted: ::core::default::Default::default(),)*
                        #(#group_idents: <#group_types as ::ovsdb_protocol::ColumnGroup>::with_defaults(),)*
                    }
                }

                fn column_index(name: &str) -> ::core::option::Option<usize> {
                    match name {
                        #(#names => return ::core::option::Option::Some(#indexes),)*
                        _ => {}
                    }
                    #(
                        if let ::core::option::Option::Some(column) =
                            <#group_types as ::ovsdb_protocol::ColumnGroup>::column_index(name)
                        {
                            return ::core::option::Option::Some(#offsets + column);
                        }
                    )*
                    ::core::option::Option::None
                }

                fn apply(
                    &mut self,
                    column: usize,
                    value: &mut ::ovsdb_protocol::DatumReader<'_, '_>,
                    context: &mut #context,
                ) -> ::core::result::Result<(), ::ovsdb_protocol::ColumnError> {
                    let _ = &context;
                    match column {
                        #(#indexes => { #applied })*
                        #(
                            _ if column >= #offsets
                                && column < #offsets + <#group_types as ::ovsdb_protocol::ColumnGroup>::COLUMNS.len() =>
                            {
                                ::ovsdb_protocol::ColumnGroup::apply(
                                    &mut self.#group_idents, column - #offsets, value, context,
                                )
                            }
                        )*
                        _ => ::core::result::Result::Ok(()),
                    }
                }

                fn reset(&mut self, column: usize) {
                    match column {
                        #(#indexes => { #resets })*
                        #(
                            _ if column >= #offsets
                                && column < #offsets + <#group_types as ::ovsdb_protocol::ColumnGroup>::COLUMNS.len() =>
                            {
                                ::ovsdb_protocol::ColumnGroup::reset(&mut self.#group_idents, column - #offsets);
                            }
                        )*
                        _ => {}
                    }
                }

                fn changed(&self, other: &Self) -> ::ovsdb_protocol::ColumnSet {
                    ::ovsdb_protocol::ColumnSet::EMPTY
                        #(.with(#indexes, #differs))*
                        #(.union(
                            ::ovsdb_protocol::ColumnGroup::changed(&self.#group_idents, &other.#group_idents)
                                .shifted(#offsets),
                        ))*
                }
            }

            #constants
        }
    }

    /// Iterates over the fields that are indexes.
    pub(crate) fn indexed(&self) -> impl Iterator<Item = &(Member<'i>, Part)> {
        self.columns.iter().flat_map(|column| &column.parts).filter(|(_, part)| part.is_index)
    }

    pub(crate) fn context(&self) -> TokenStream {
        self.attributes.context.as_ref().map_or_else(|| quote!(()), |context| quote!(#context))
    }

    /// Generates the constant that names columns in conditions, mutations and rows to write.
    fn constants(&self) -> TokenStream {
        let name = &self.input.ident;
        let visibility = &self.input.vis;
        let row = match &self.attributes.row {
            Some(row) => quote!(#row),
            None => quote!(#name),
        };
        let columns_name = format_ident!("{name}Columns");
        let (mut types, mut values) = (Vec::new(), Vec::new());
        for (member, part) in self.columns.iter().flat_map(|column| &column.parts) {
            let Member { ident, field_type } = member;
            let column = &part.column;
            let (field, value, doc) = match &part.extent {
                Extent::Whole => (
                    quote!(::ovsdb_protocol::Field<#row, #field_type>),
                    quote!(::ovsdb_protocol::Field::new(#column)),
                    format!("`{column}`"),
                ),
                Extent::Key(key) => (
                    quote!(::ovsdb_protocol::KeyField<#row>),
                    quote!(::ovsdb_protocol::KeyField::new(#column, #key)),
                    format!("`{column}:{key}`"),
                ),
                Extent::Prefix(prefix) => (
                    quote!(::ovsdb_protocol::PairsField<#row>),
                    quote!(::ovsdb_protocol::PairsField::new(#column, #prefix)),
                    format!("The pairs of `{column}` whose keys start with `{prefix}`"),
                ),
            };
            types.push(quote!(#[doc = #doc] #visibility #ident: #field));
            values.push(quote!(#ident: #value));
        }
        let doc =
            format!("The columns of [`{name}`], to name them in conditions, mutations and rows to write.");
        quote! {
            #[doc = #doc]
            #[derive(Clone, Copy, Debug)]
            #[allow(dead_code)]
            #visibility struct #columns_name {
                #(#types,)*
            }

            impl #name {
                #[doc = "The columns, to name them in conditions, mutations and rows to write."]
                #[allow(dead_code)]
                #visibility const COLUMNS: #columns_name = #columns_name { #(#values,)* };
            }
        }
    }
}

impl Column<'_> {
    /// Generates the column's `ColumnSpec`. The columns of an optional table are optional.
    fn spec(&self, context: &TokenStream, is_optional: bool) -> TokenStream {
        let name = &self.name;
        let parts = || self.parts.iter().map(|(_, part)| part);
        let is_optional = is_optional || parts().all(|part| part.is_optional);
        let first = |text: fn(&Part) -> &String| {
            parts().map(text).find(|text| !text.is_empty()).cloned().unwrap_or_default()
        };
        let (since, absent) = (first(|part| &part.since), first(|part| &part.absent));
        let keys = parts().filter_map(|part| match &part.extent {
            Extent::Key(key) => Some(key),
            _ => None,
        });
        let prefixes = parts().filter_map(|part| match &part.extent {
            Extent::Prefix(prefix) => Some(prefix),
            _ => None,
        });
        let (kind, values) = match &self.parts[..] {
            [(member, Part { extent: Extent::Whole, .. })] => {
                let field_type = member.field_type;
                let column = quote!(<#field_type as ::ovsdb_protocol::Column<#context>>);
                (quote!(#column::KIND), quote!(#column::VALUES))
            }
            _ => {
                let string = quote!(::ovsdb_protocol::AtomicType::String);
                (quote!(::ovsdb_protocol::ColumnKind::Map(#string, #string)), quote!(&[]))
            }
        };
        quote! {
            ::ovsdb_protocol::ColumnSpec {
                name: #name,
                kind: #kind,
                keys: &[#(#keys),*],
                prefixes: &[#(#prefixes),*],
                values: #values,
                is_optional: #is_optional,
                since: #since,
                absent: #absent,
            }
        }
    }

    /// Generates the application of a difference.
    fn apply(&self, context: &TokenStream) -> TokenStream {
        if let [(member, Part { extent: Extent::Whole, .. })] = &self.parts[..] {
            let Member { ident, field_type } = member;
            return quote! {
                <#field_type as ::ovsdb_protocol::Column<#context>>::apply(&mut self.#ident, value, context)
            };
        }
        let (mut keys, mut key_fields) = (Vec::new(), Vec::new());
        let (mut prefixes, mut prefix_fields, mut lists) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (member, part)) in self.parts.iter().enumerate() {
            match &part.extent {
                Extent::Key(key) => {
                    keys.push(key);
                    key_fields.push(member.ident);
                }
                Extent::Prefix(prefix) => {
                    prefixes.push(prefix);
                    prefix_fields.push(member.ident);
                    lists.push(format_ident!("pairs_{index}"));
                }
                Extent::Whole => {}
            }
        }
        quote! {
            let mut outcome = ::core::result::Result::Ok(());
            #(let mut #lists = ::std::vec::Vec::new();)*
            value.string_pairs(|key, value| {
                match &*key {
                    #(#keys => {
                        if let ::core::result::Result::Err(error) =
                            ::ovsdb_protocol::KeyColumn::toggle(&mut self.#key_fields, &value)
                        {
                            outcome = ::core::result::Result::Err(error);
                        }
                        return;
                    })*
                    _ => {}
                }
                #(
                    if key.starts_with(#prefixes) {
                        #lists.push((key, value));
                        return;
                    }
                )*
            })?;
            #(
                if !#lists.is_empty() {
                    if let ::core::result::Result::Err(error) =
                        ::ovsdb_protocol::PairsColumn::toggle(&mut self.#prefix_fields, #lists)
                    {
                        outcome = ::core::result::Result::Err(error);
                    }
                }
            )*
            outcome
        }
    }
}
