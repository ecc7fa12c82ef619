import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def keep_earlier_words(apps, schema_editor):
    """The words of earlier attempts stay as they were written."""
    publications = apps.get_model("itineraries", "Publication").objects.exclude(detail="")
    for publication in publications.only("detail", "reason").iterator():
        publication.reason = {"code": "earlier", "arguments": {"text": publication.detail}, "said": ""}
        publication.save(update_fields=["reason"])


class Migration(migrations.Migration):
    dependencies = [
        ("itineraries", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="publication",
            name="outline",
            field=models.JSONField(blank=True, default=list, editable=False),
        ),
        migrations.AddField(
            model_name="publication",
            name="reason",
            field=models.JSONField(blank=True, default=dict, verbose_name="reason"),
        ),
        migrations.RunPython(keep_earlier_words, migrations.RunPython.noop, elidable=True),
        migrations.RemoveField(model_name="publication", name="detail"),
        migrations.CreateModel(
            name="SetAside",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "document",
                    models.JSONField(
                        help_text="Crusoe's own JSON, with our keys and versions in it.", verbose_name="document"
                    ),
                ),
                ("at", models.DateTimeField(verbose_name="at")),
                (
                    "by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="by",
                    ),
                ),
                (
                    "itinerary",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="set_aside",
                        to="itineraries.itinerary",
                        verbose_name="itinerary",
                    ),
                ),
            ],
            options={
                "verbose_name": "replaced draft",
                "verbose_name_plural": "replaced drafts",
                "ordering": ["-at", "-pk"],
            },
        ),
    ]
