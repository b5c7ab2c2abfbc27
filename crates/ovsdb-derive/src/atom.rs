//! `#[derive(AtomValue)]` for enumerations.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::{Data, DeriveInput, Fields};

use crate::attributes::VariantAttributes;

pub(crate) fn derive(input: &DeriveInput) -> syn::Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        return Err(syn::Error::new_spanned(input, "only enumerations derive AtomValue"));
    };
    let name = &input.ident;
    let (mut idents, mut names) = (Vec::new(), Vec::new());
    let (mut other, mut has_default) = (None, false);
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(syn::Error::new_spanned(variant, "a value of an enumeration has no fields"));
        }
        let attributes = VariantAttributes::parse(&variant.attrs)?;
        has_default |= attributes.is_default;
        if attributes.is_other {
            other = Some(&variant.ident);
        } else {
            names.push(attributes.name.unwrap_or_else(|| snake_case(&variant.ident.unraw().to_string())));
            idents.push(&variant.ident);
        }
    }
    let unknown = match other {
        Some(other) => quote!(::core::result::Result::Ok(Self::#other)),
        None => quote!(::core::result::Result::Err(::ovsdb_protocol::ColumnError::Invalid(::std::format!(
            "not understood: {text:?}"
        ),))),
    };
    // The word of a value that represents several is not known.
    let other_name = other.map(|other| quote!(Self::#other => "",));
    let is_lossy = other.is_some();
    let visibility = &input.vis;
    let column = has_default.then(|| {
        quote! {
            impl<C: ?Sized> ::ovsdb_protocol::Column<C> for #name {
                const KIND: ::ovsdb_protocol::ColumnKind =
                    ::ovsdb_protocol::ColumnKind::Scalar(::ovsdb_protocol::AtomicType::String);
                const VALUES: &'static [&'static str] = <Self as ::ovsdb_protocol::AtomValue>::VALUES;

                fn apply(
                    &mut self,
                    value: &mut ::ovsdb_protocol::DatumReader<'_, '_>,
                    _: &mut C,
                ) -> ::core::result::Result<(), ::ovsdb_protocol::ColumnError> {
                    ::ovsdb_protocol::apply_scalar(self, value)
                }
            }

            impl ::ovsdb_protocol::IntoColumn<#name> for #name {
                fn into_column(self) -> ::ovsdb_protocol::Datum {
                    ::ovsdb_protocol::Datum::scalar(self.as_str())
                }
            }
        }
    });
    Ok(quote! {
        impl #name {
            #[doc = "Returns the word for it in the database."]
            #visibility fn as_str(&self) -> &'static str {
                match self {
                    #(Self::#idents => #names,)*
                    #other_name
                }
            }
        }

        impl ::ovsdb_protocol::AtomValue for #name {
            const TYPE: ::ovsdb_protocol::AtomicType = ::ovsdb_protocol::AtomicType::String;
            const VALUES: &'static [&'static str] = &[#(#names),*];
            const IS_LOSSY: bool = #is_lossy;

            fn from_atom(
                atom: ::ovsdb_protocol::AtomRef<'_>,
            ) -> ::core::result::Result<Self, ::ovsdb_protocol::ColumnError> {
                let ::core::option::Option::Some(text) = atom.as_str() else {
                    let expected = ::ovsdb_protocol::DecodeError { at: 0, expected: "a string" };
                    return ::core::result::Result::Err(expected.into());
                };
                match text {
                    #(#names => ::core::result::Result::Ok(Self::#idents),)*
                    _ => #unknown,
                }
            }

            fn to_atom(&self) -> ::ovsdb_protocol::Atom {
                ::ovsdb_protocol::Atom::from(self.as_str())
            }
        }

        impl ::ovsdb_protocol::IntoColumn<::core::option::Option<#name>> for #name {
            fn into_column(self) -> ::ovsdb_protocol::Datum {
                ::ovsdb_protocol::Datum::scalar(self.as_str())
            }
        }

        #column
    })
}

/// Returns a variant's name in the notation of OVSDB's enumerations.
fn snake_case(name: &str) -> String {
    let mut text = String::new();
    for (index, letter) in name.char_indices() {
        if letter.is_uppercase() && index > 0 {
            text.push('_');
        }
        text.extend(letter.to_lowercase());
    }
    text
}
