"""How static files are stored: under names that carry their content's hash, so that they may be cached for ever."""

from __future__ import annotations

from whitenoise.storage import CompressedManifestStaticFilesStorage


class ForgivingManifestStorage(CompressedManifestStaticFilesStorage):
    """Hashed, compressed files; a package that names a source map it does not ship is forgiven."""

    # Swagger's bundles end in a comment that names a .map file which its package leaves out.
    support_js_module_import_aggregation = False
    patterns = tuple(
        (glob, tuple(rule for rule in rules if "sourceMappingURL" not in (rule if isinstance(rule, str) else rule[0])))
        for glob, rules in CompressedManifestStaticFilesStorage.patterns
    )
    manifest_strict = False

    def stored_name(self, name: str) -> str:
        """The name with its hash; the plain one while nothing was collected, so that a page is bare and not an error."""
        try:
            return str(super().stored_name(name))
        except ValueError:
            return name
