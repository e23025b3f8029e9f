//! serde over the spanned tree.

use crate::{Content, Entry, Node, NodeId, Scalar, decode::Decoder, decode_error::DecodeError, node::Resolved, secret};
use headwater_contracts::Secret;
use serde::{
    Deserializer,
    de::{self, Error as _, IntoDeserializer, Unexpected, Visitor},
    forward_to_deserialize_any,
};
use std::collections::HashSet;

/// Reads one node. Entries and items whose identity is in `ignored` are not there.
#[derive(Clone, Copy)]
pub(crate) struct De<'a> {
    pub(crate) node: &'a Node,
    pub(crate) decoder: &'a Decoder<'a>,
    pub(crate) ignored: &'a HashSet<NodeId>,
}

type Result<T> = std::result::Result<T, DecodeError>;

impl<'a> De<'a> {
    fn of(self, node: &'a Node) -> Self {
        Self { node, ..self }
    }

    fn map<'de, V: Visitor<'de>>(self, entries: &'a [Entry], visitor: V) -> Result<V::Value> {
        visitor.visit_map(Entries { de: self, rest: entries.iter(), value: None })
    }

    fn list<'de, V: Visitor<'de>>(self, items: &'a [Node], visitor: V) -> Result<V::Value> {
        visitor.visit_seq(Items { de: self, rest: items.iter() })
    }

    /// The value as it stands, whatever the type asked for.
    fn any<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match &self.node.content {
            Content::Sequence(items) => self.list(items, visitor),
            Content::Mapping(_) if secret::is_reference(self.node) => visitor.visit_string(self.secret()?),
            Content::Mapping(entries) => self.map(entries, visitor),
            Content::Scalar(scalar) => match scalar.resolve() {
                Resolved::Null => visitor.visit_unit(),
                Resolved::Bool(value) => visitor.visit_bool(value),
                Resolved::Unsigned(value) => visitor.visit_u64(value),
                Resolved::Signed(value) => visitor.visit_i64(value),
                Resolved::Float(value) => visitor.visit_f64(value),
                Resolved::Text(text) => visitor.visit_str(text),
            },
        }
    }

    fn secret(self) -> Result<String> {
        self.decoder.secret(self.node).map_err(DecodeError::custom)
    }

    /// A number or a boolean. What variables have put together counts as if it were not quoted: inside `{ }` it has to be.
    fn plain<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.node.scalar() {
            Some(scalar) if !scalar.plain && scalar.written.is_some() => {
                let node =
                    Node { content: Content::Scalar(Scalar { plain: true, ..scalar.clone() }), ..self.node.clone() };
                De { node: &node, ..self }.any(visitor).map_err(|error| error.or_at(self.node))
            }
            _ => self.any(visitor),
        }
    }

    /// A text of which nothing may be shown: `{ env: X }` and the like, or as it stands.
    fn credential<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match &self.node.content {
            Content::Mapping(_) if secret::is_reference(self.node) => {
                let text = self.secret()?;
                self.decoder.look(self.node, &text).map_err(DecodeError::custom)?;
            }
            Content::Scalar(scalar) if scalar.resolve() != Resolved::Null => {
                self.decoder.look(self.node, &scalar.text).map_err(DecodeError::custom)?;
            }
            _ => return Err(DecodeError::custom(secret::expected(self.node))),
        }
        visitor.visit_newtype_struct(self)
    }

    /// A text: numbers and booleans count as what was written, a secret reference as what it refers to.
    fn string<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match &self.node.content {
            Content::Scalar(scalar) if scalar.resolve() != Resolved::Null => visitor.visit_str(&scalar.text),
            _ => self.any(visitor),
        }
    }

    fn mapping<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match &self.node.content {
            Content::Mapping(entries) => self.map(entries, visitor),
            // `filter:` with nothing below it is an empty mapping.
            Content::Scalar(scalar) if scalar.resolve() == Resolved::Null => self.map(&[], visitor),
            _ => self.any(visitor),
        }
    }

    fn variant<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match &self.node.content {
            Content::Scalar(scalar) => visitor.visit_enum(scalar.text.as_str().into_deserializer()),
            Content::Mapping(entries) => match entries.as_slice() {
                [entry] => visitor.visit_enum(Variant { entry, de: self }),
                _ => Err(DecodeError::invalid_type(Unexpected::Map, &"a name, or a mapping with one key")),
            },
            Content::Sequence(_) => Err(DecodeError::invalid_type(Unexpected::Seq, &visitor)),
        }
    }
}

/// Blames the node for an error that no inner node is blamed for.
macro_rules! read {
    ($($method:ident => $with:ident),* $(,)?) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            self.$with(visitor).map_err(|error| error.or_at(self.node))
        })*
    };
}

impl<'de> Deserializer<'de> for De<'_> {
    type Error = DecodeError;

    read! {
        deserialize_any => any, deserialize_bool => plain, deserialize_i8 => plain, deserialize_i16 => plain,
        deserialize_i32 => plain, deserialize_i64 => plain, deserialize_u8 => plain, deserialize_u16 => plain,
        deserialize_u32 => plain, deserialize_u64 => plain, deserialize_f32 => plain, deserialize_f64 => plain,
        deserialize_unit => any, deserialize_seq => any, deserialize_bytes => any, deserialize_byte_buf => any,
        deserialize_char => string, deserialize_str => string, deserialize_string => string,
        deserialize_identifier => string, deserialize_map => mapping,
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let result = if self.node.is_null() { visitor.visit_none() } else { visitor.visit_some(self) };
        result.map_err(|error| error.or_at(self.node))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value> {
        let read = if name == Secret::NAME { self.credential(visitor) } else { visitor.visit_newtype_struct(self) };
        read.map_err(|error| error.or_at(self.node))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _: &'static str, _: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.variant(visitor).map_err(|error| error.or_at(self.node))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }
}

struct Items<'a> {
    de: De<'a>,
    rest: std::slice::Iter<'a, Node>,
}

impl<'de> de::SeqAccess<'de> for Items<'_> {
    type Error = DecodeError;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        let Some(item) = self.rest.find(|item| !self.de.ignored.contains(&item.id)) else { return Ok(None) };
        seed.deserialize(self.de.of(item)).map(Some).map_err(|error| error.or_at(item))
    }
}

struct Entries<'a> {
    de: De<'a>,
    rest: std::slice::Iter<'a, Entry>,
    value: Option<&'a Node>,
}

impl<'de> de::MapAccess<'de> for Entries<'_> {
    type Error = DecodeError;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        let ignored = self.de.ignored;
        let here = |entry: &&Entry| !ignored.contains(&entry.id) && !ignored.contains(&entry.value.id);
        let Some(entry) = self.rest.find(here) else { return Ok(None) };
        self.value = Some(&entry.value);
        seed.deserialize(Key(entry)).map(Some)
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        let value = self.value.take().ok_or_else(|| DecodeError::custom("a value was asked for before its key"))?;
        seed.deserialize(self.de.of(value)).map_err(|error| error.or_at(value))
    }
}

/// A key: its errors are at the key.
struct Key<'a>(&'a Entry);

impl<'de> Deserializer<'de> for Key<'_> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_str(&self.0.key).map_err(|error: DecodeError| error.at(self.0.id, &self.0.span, None))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        let key: de::value::StrDeserializer<'_, DecodeError> = self.0.key.as_str().into_deserializer();
        visitor.visit_enum(key).map_err(|error| error.at(self.0.id, &self.0.span, None))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq
        tuple tuple_struct map struct identifier ignored_any
    }
}

/// `{ variant: content }`.
struct Variant<'a> {
    entry: &'a Entry,
    de: De<'a>,
}

impl<'de, 'a> de::EnumAccess<'de> for Variant<'a> {
    type Error = DecodeError;
    type Variant = De<'a>;

    fn variant_seed<V: de::DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, De<'a>)> {
        let variant = seed.deserialize(Key(self.entry))?;
        Ok((variant, self.de.of(&self.entry.value)))
    }
}

impl<'de> de::VariantAccess<'de> for De<'_> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<()> {
        if self.node.is_null() {
            return Ok(());
        }
        Err(DecodeError::custom(format!("expected nothing, found {}", self.node.describe())).or_at(self.node))
    }

    fn newtype_variant_seed<T: de::DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        let node = self.node;
        seed.deserialize(self).map_err(|error| error.or_at(node))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value> {
        self.deserialize_map(visitor)
    }
}
