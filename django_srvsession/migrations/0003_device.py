from django.db import migrations

import django_srvsession.models


class Migration(migrations.Migration):
    dependencies = [("srvsession", "0002_events")]

    operations = [
        migrations.AddField(
            model_name="session",
            name="device_family",
            field=django_srvsession.models.ExactCharField(max_length=16, null=True, verbose_name="device"),
        ),
    ]
