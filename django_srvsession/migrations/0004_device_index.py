"""Say of each session which family of devices it is on, and index that: beside users, in batches, as often as need be."""

from itertools import groupby

from django.db import migrations, models

from django_srvsession.clients.devices import device_family

BATCH = 500


def fill(apps, schema_editor):
    """Fill the column where it is empty; each batch is a transaction of its own."""
    rows = apps.get_model("srvsession", "Session")._default_manager.using(schema_editor.connection.alias)
    after = ""
    asked = rows.order_by("sid").values_list("sid", "user_agent", "device_family")
    while batch := list(asked.filter(sid__gt=after)[:BATCH]):
        after = batch[-1][0]
        found = sorted((device_family(agent), sid) for sid, agent, known in batch if known is None)
        for family, group in groupby(found, key=lambda one: one[0]):
            # A request may have been faster, and knows better.
            rows.filter(sid__in=[sid for _, sid in group], device_family=None).update(device_family=family)


class AddIndexBesideUsers(migrations.AddIndex):
    """Add an index without keeping writers waiting, where the database can."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor != "postgresql":
            return super().database_forwards(app_label, schema_editor, from_state, to_state)
        model = to_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            # One that was interrupted leaves an index that is not valid.
            schema_editor.remove_index(model, self.index, concurrently=True)
            schema_editor.add_index(model, self.index, concurrently=True)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("srvsession", "0003_device")]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop),
        AddIndexBesideUsers(
            model_name="session",
            index=models.Index(fields=["device_family", "last_seen_ms"], name="srvsession_device"),
        ),
    ]
